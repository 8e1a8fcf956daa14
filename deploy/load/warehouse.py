"""The warehouse: one account that confirms and ships what customers ordered."""

import os

from api import ApiUser
from customers import PLACED
from locust import constant_throughput, task


class Warehouse(ApiUser):
    """Takes the oldest order that was placed, and moves it on."""

    fixed_count = 1
    wait_time = constant_throughput(float(os.environ["LOAD_SHIPMENTS"]))

    @task
    def ship(self) -> None:
        """Confirm an order and ship it, with the account of the local system."""
        if self.expires:
            self.log_in(os.environ["LOAD_WAREHOUSE"], os.environ["LOAD_WAREHOUSE_PASSWORD"])
        if PLACED:
            order = PLACED.popleft()
            self.ask("POST", f"/orders/{order}/confirm", "transition")
            self.ask("POST", f"/orders/{order}/ship", "transition")
