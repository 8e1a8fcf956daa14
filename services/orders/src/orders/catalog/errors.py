"""What can go wrong with products."""

from chassis.errors import Conflict, NotFound


class SkuTaken(Conflict):
    """Another product has this SKU."""

    name = "sku-taken"
    title = "There is a product with this SKU."


class ProductNotFound(NotFound):
    """No product has this id."""

    name = "product-not-found"
    title = "There is no such product."
