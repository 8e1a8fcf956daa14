"""Catalogues of texts: templates in a folder for each language."""
