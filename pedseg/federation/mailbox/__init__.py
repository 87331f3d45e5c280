"""A federation through an untrusted shared store: sealed messages, the coordinator's side and a center's side."""
