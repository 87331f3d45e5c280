"""A federation through a shared place that nobody trusts: sealed letters, a coordinator's end and a center's end."""
