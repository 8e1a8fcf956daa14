"""The use cases of orders."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from uuid import UUID

from chassis.actor import Actor
from chassis.database import new_id
from chassis.database.unit import Unit
from chassis.errors import FieldError
from chassis.messaging import Outbox
from chassis.paging import PageRequest, PageRows, TimePosition, each_page
from contracts.orders import OrderLine as OrderLineData
from contracts.orders import OrderPlaced, OrderSnapshot
from orders.catalog.errors import AmountRangeError
from orders.catalog.models import Money, Offer
from orders.catalog.service import ProductService, money_data
from orders.customers.service import CustomerService
from orders.orders.errors import (
    DuplicateProduct,
    MixedCurrencies,
    OrderNotFound,
    OutOfStock,
    ProductInactive,
    TotalTooLarge,
    UnknownProduct,
)
from orders.orders.models import (
    LineRecord,
    Order,
    OrderMetrics,
    OrderRecord,
    OrderStatus,
    ShippingAddress,
    WantedLine,
)
from orders.orders.repository import OrderFilter, OrderRepository


class OrderService:
    """The orders, in one transaction.

    Args:
        orders: the repository.
        products: the use cases of products, for prices and stock.
        customers: the use cases of customers, for who may order.
        outbox: stores the events to publish.
        unit: the transaction.
        metrics: counts the orders that were placed.
    """

    def __init__(
        self,
        *,
        orders: OrderRepository,
        products: ProductService,
        customers: CustomerService,
        outbox: Outbox,
        unit: Unit,
        metrics: OrderMetrics,
    ) -> None:
        self._unit = unit
        self._metrics = metrics
        self._orders = orders
        self._products = products
        self._customers = customers
        self._outbox = outbox

    async def place(
        self,
        customer_id: UUID,
        *,
        lines: Sequence[WantedLine],
        shipping_address: ShippingAddress,
        by: Actor,
    ) -> OrderRecord:
        """Place an order and return it. This reserves stock, and uses the catalogue's prices.

        Raises:
            DuplicateProduct: more than one line names the same product.
            CustomerInactive: the account was deactivated.
            UnknownProduct: a line names a product that does not exist.
            ProductInactive: a line names a product that is not sold at present.
            MixedCurrencies: not all products are sold in the same currency.
            OutOfStock: a product has too little stock.
            TotalTooLarge: the order adds up to more than an amount may be.
        """
        _refuse_duplicates(lines)
        await self._customers.require_active(customer_id)
        offers = await self._products.reserve({line.product_id: line.quantity for line in lines})
        _refuse_unfit(lines, offers)
        order = _order_of(customer_id, lines, offers, shipping_address)
        self._orders.add(order, by=by)
        self._outbox.add(_placed(order))
        self._unit.after_commit(lambda: self._metrics.placed(order.total))
        return order

    async def snapshots(self, *, after: UUID | None, limit: int) -> Sequence[OrderSnapshot]:
        """Return snapshots of orders, ordered by id. Their rows stay locked until the commit."""
        orders = await self._orders.lock_page(after=after, limit=limit)
        return [_snapshot(order) for order in orders]

    async def get(self, order_id: UUID, *, customer_id: UUID | None) -> Order:
        """Return an order. With `customer_id`, return only an order of that customer.

        Raises:
            OrderNotFound: the order does not exist, or belongs to another customer.
        """
        order = await self._orders.find(order_id, customer_id=customer_id)
        if order is None:
            raise order_not_found(order_id)
        return order

    async def page(
        self, wanted: PageRequest[TimePosition], *, only: OrderFilter
    ) -> PageRows[Order, TimePosition]:
        """Return a page of orders, newest first."""
        return await self._orders.page(wanted, only=only)

    async def pages_of(self, customer_id: UUID) -> AsyncIterator[Sequence[Order]]:
        """Yield all orders of a customer, page by page, newest first."""
        only = OrderFilter(customer_id=customer_id)
        async for orders in each_page(lambda wanted: self._orders.page(wanted, only=only)):
            yield orders


def order_not_found(order_id: UUID) -> OrderNotFound:
    """Return the error of a caller who has no order with this id."""
    return OrderNotFound(f"You have no order {order_id}. Take the id from the list of orders.")


def repeated_ids(ids: Iterable[UUID], *, noun: str) -> list[FieldError]:
    """Return an error for each item of a request whose id an earlier item has.

    Args:
        ids: the ids of the request's ``items``, in order.
        noun: what the ids are of; the member is ``<noun>_id``.
    """
    first: dict[UUID, int] = {}
    return [
        FieldError(
            detail=f"is the {noun} of item {first[one]} too",
            pointer=f"#/items/{index}/{noun}_id",
        )
        for index, one in enumerate(ids)
        if first.setdefault(one, index) != index
    ]


def _refuse_duplicates(lines: Sequence[WantedLine]) -> None:
    if errors := repeated_ids((line.product_id for line in lines), noun="product"):
        message = (
            "More than one item has the same product. Order it in one item, with the sum of the "
            "quantities."
        )
        raise DuplicateProduct(message, errors=errors)


def _refuse_unfit(lines: Sequence[WantedLine], offers: Mapping[UUID, Offer]) -> None:
    unknown = _field_errors(
        lines,
        "product_id",
        lambda line: None if line.product_id in offers else "is not a product of the catalogue",
    )
    if unknown:
        message = (
            "Some products, named in `errors`, do not exist. Take the ids from the list of "
            "products."
        )
        raise UnknownProduct(message, errors=unknown)
    inactive = _field_errors(
        lines,
        "product_id",
        lambda line: None if offers[line.product_id].active else "is not sold at present",
    )
    if inactive:
        message = "The products named in `errors` are not sold at present. Order without them."
        raise ProductInactive(message, errors=inactive)
    currency = offers[lines[0].product_id].price.currency
    foreign = _field_errors(
        lines, "product_id", lambda line: _foreign(offers[line.product_id], currency)
    )
    if foreign:
        message = (
            "The products have more than one currency, and an order has one. Place an order for "
            "each."
        )
        raise MixedCurrencies(message, errors=foreign)
    short = _field_errors(lines, "quantity", lambda line: _short(offers[line.product_id]))
    if short:
        message = "Too few are in stock of the products named in `errors`. Order fewer of them."
        raise OutOfStock(message, errors=short)


def _foreign(offer: Offer, currency: str) -> str | None:
    if offer.price.currency == currency:
        return None
    return f"is sold in {offer.price.currency}, but the first product in {currency}"


def _short(offer: Offer) -> str | None:
    return None if offer.stock is not None else f"only {offer.available} are left"


def _field_errors(
    lines: Sequence[WantedLine], field: str, wrong: Callable[[WantedLine], str | None]
) -> list[FieldError]:
    found = ((index, wrong(line)) for index, line in enumerate(lines))
    return [
        FieldError(detail=detail, pointer=f"#/items/{index}/{field}")
        for index, detail in found
        if detail is not None
    ]


def _order_of(
    customer_id: UUID,
    lines: Sequence[WantedLine],
    offers: Mapping[UUID, Offer],
    shipping_address: ShippingAddress,
) -> OrderRecord:
    items = [
        LineRecord(
            product_id=line.product_id,
            position=position,
            name=offers[line.product_id].name,
            quantity=line.quantity,
            unit_price=offers[line.product_id].price,
        )
        for position, line in enumerate(lines)
    ]
    placed_at = offers[lines[0].product_id].reserved_at
    return OrderRecord(
        id=new_id(),
        customer_id=customer_id,
        status=OrderStatus.PLACED,
        items=items,
        total=_total(items),
        shipping_address=shipping_address,
        version=1,
        created_at=placed_at,
        updated_at=placed_at,
    )


def _total(items: Sequence[LineRecord]) -> Money:
    try:
        return Money.sum_of(item.total for item in items)
    except AmountRangeError as error:
        message = f"The order adds up to more than can be charged: {error}. Order less."
        raise TotalTooLarge(message) from error


def _placed(order: OrderRecord) -> OrderPlaced:
    return OrderPlaced(
        version=order.version,
        order_id=order.id,
        customer_id=order.customer_id,
        items=_lines(order),
        total=money_data(order.total),
        placed_at=order.created_at,
    )


def _snapshot(order: Order) -> OrderSnapshot:
    return OrderSnapshot(
        version=order.version,
        order_id=order.id,
        customer_id=order.customer_id,
        status=order.status,
        items=_lines(order),
        total=money_data(order.total),
        placed_at=order.created_at,
        updated_at=order.updated_at,
    )


def _lines(order: Order | OrderRecord) -> list[OrderLineData]:
    return [
        OrderLineData(
            product_id=item.product_id,
            name=item.name,
            quantity=item.quantity,
            unit_price=money_data(item.unit_price),
        )
        for item in order.items
    ]
