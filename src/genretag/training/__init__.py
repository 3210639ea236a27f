"""A dataset in, a checkpoint and a report out."""
