"""Grading a class: handed-in notebooks run in a sandbox each, their answers judged outside it."""
