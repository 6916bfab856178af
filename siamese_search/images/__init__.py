"""Image files: found on disk, decoded as a person would see them, and edited."""
