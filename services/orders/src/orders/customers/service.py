"""What can be done with customers."""

from uuid import UUID

from orders.customers.errors import CustomerInactive
from orders.customers.repository import CustomerRepository


class CustomerService:
    """The customers, in one transaction.

    Args:
        customers: all SQL on them.
    """

    def __init__(self, *, customers: CustomerRepository) -> None:
        self._customers = customers

    async def require_active(self, customer_id: UUID) -> None:
        """Let only an active customer go on, and keep it active until the transaction ends.

        Raises:
            CustomerInactive: the account was deactivated.
        """
        if not await self._customers.is_active(customer_id):
            message = "orders can be placed again once the account is reactivated"
            raise CustomerInactive(message)

    async def registered(self, customer_id: UUID, *, version: int) -> None:
        """Take note of a new account; what a newer event said stays."""
        await self._customers.learn(customer_id, is_active=True, version=version)

    async def learn(self, customer_id: UUID, *, is_active: bool, version: int) -> None:
        """Take note of what an account is at `version`; what a newer event said stays."""
        await self._customers.learn(customer_id, is_active=is_active, version=version)
