"""All SQL on customers."""

from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from chassis.database.unit import Unit
from orders.customers.models import Customer

_IS_ACTIVE = "SELECT is_active FROM customers WHERE id = $1 FOR SHARE"
_IS_DELETED = "SELECT FROM customers WHERE id = $1 AND is_deleted"


class CustomerRepository:
    """The customers of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def is_active(self, customer_id: UUID) -> bool:
        """Return whether the customer may order, and lock the row until the transaction ends.

        An unknown customer is inserted: the first order may arrive before the account's event.
        """
        known = await self._unit.fetch(_IS_ACTIVE, customer_id)
        if not known:
            await self._unit.session.execute(
                insert(Customer).values(id=customer_id, version=0).on_conflict_do_nothing()
            )
            # A separate statement has a new snapshot, which shows a row that a parallel
            # transaction inserted.
            known = await self._unit.fetch(_IS_ACTIVE, customer_id)
        return bool(known[0]["is_active"])

    async def is_deleted(self, customer_id: UUID) -> bool:
        """Return whether the customer's account was deleted; false if the customer is unknown."""
        return bool(await self._unit.fetch(_IS_DELETED, customer_id))

    async def learn(
        self, customer_id: UUID, *, is_active: bool, is_deleted: bool, version: int
    ) -> bool:
        """Store the account's state at `version`, and return whether it was stored.

        It is not stored if the stored version is as new or newer.
        """
        statement = insert(Customer).values(
            id=customer_id, is_active=is_active, is_deleted=is_deleted, version=version
        )
        stored = await self._unit.session.execute(
            statement.on_conflict_do_update(
                index_elements=[Customer.id],
                set_={
                    "is_active": statement.excluded.is_active,
                    "is_deleted": statement.excluded.is_deleted,
                    "version": statement.excluded.version,
                    "updated_at": func.now(),
                },
                where=Customer.version < statement.excluded.version,
            ).returning(Customer.id)
        )
        return stored.one_or_none() is not None
