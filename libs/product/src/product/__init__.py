"""The names that this product shows to the outside. A fork edits this file first.

Clients and consumers see them: once the product is published, a change breaks them.
"""

from chassis.product import Product

PRODUCT = Product(name="slipway", problem_base="https://slipway.dev/problems/")
