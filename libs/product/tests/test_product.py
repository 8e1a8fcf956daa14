"""The names of the product that are visible outside: a change breaks clients and consumers."""

from chassis.product import product
from product import PRODUCT


def test_the_chassis_finds_the_product_that_is_installed():
    assert product() is PRODUCT


def test_published_names_stay():
    assert PRODUCT.problem_base == "https://slipway.dev/problems/"
    assert PRODUCT.source_of("orders") == "/slipway/orders"
    assert PRODUCT.sample_secret == "slipway-demo-only"
    assert PRODUCT.topic_prefix == "slipway."
