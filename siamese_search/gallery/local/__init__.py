"""The store that is a folder: SQLite is the truth, FAISS is derived from it."""
