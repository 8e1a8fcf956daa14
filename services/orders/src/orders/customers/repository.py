"""All SQL on customers."""

from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.statements import fetch
from orders.customers.models import Customer

_IS_ACTIVE = "SELECT is_active FROM customers WHERE id = $1 FOR SHARE"


class CustomerRepository:
    """The customers of one transaction.

    Args:
        session: the transaction.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def is_active(self, customer_id: UUID) -> bool:
        """Say whether the customer may order, and keep it so until the transaction ends.

        A customer that isn't known yet is inserted: their first order may overtake the event.
        """
        known = await fetch(self._session, _IS_ACTIVE, customer_id)
        if not known:
            await self._session.execute(
                insert(Customer).values(id=customer_id, version=0).on_conflict_do_nothing()
            )
            # A statement of its own: its snapshot shows a row that somebody else inserted.
            known = await fetch(self._session, _IS_ACTIVE, customer_id)
        return bool(known[0]["is_active"])

    async def learn(self, customer_id: UUID, *, is_active: bool, version: int) -> None:
        """Write what an event said of the account, unless a newer one was seen."""
        statement = insert(Customer).values(id=customer_id, is_active=is_active, version=version)
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=[Customer.id],
                set_={
                    "is_active": statement.excluded.is_active,
                    "version": statement.excluded.version,
                    "updated_at": func.now(),
                },
                where=Customer.version < statement.excluded.version,
            )
        )
