"""What operators can do with a running worker, over HTTP on its internal port."""
