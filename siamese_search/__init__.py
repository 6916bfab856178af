"""simsearch: the same and the similar picture in your own folders."""

__version__ = "0.1.0"
