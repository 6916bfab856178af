"""A gallery kept on a Milvus server."""
