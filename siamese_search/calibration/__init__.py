"""The threshold that a precision calls for."""
