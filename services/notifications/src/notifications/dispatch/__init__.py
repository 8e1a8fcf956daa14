"""Dispatch: sends what is due to one webhook after the other, outside of transactions."""
