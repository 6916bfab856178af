"""Copies among the pictures of a gallery."""
