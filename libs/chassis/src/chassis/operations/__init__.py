"""What operators do with a running worker, over HTTP on its internal port."""
