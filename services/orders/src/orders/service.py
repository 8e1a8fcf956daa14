"""What can be done with orders."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from chassis.database import new_id
from chassis.errors import FieldError
from chassis.http.pages import Cursor
from chassis.messaging import Outbox
from contracts.base import Money as MoneyData
from contracts.orders import OrderLine as OrderLineData
from contracts.orders import OrderPlaced, OrderSnapshot
from orders.catalog.models import Money, Offer
from orders.catalog.service import ProductService
from orders.customers.service import CustomerService
from orders.errors import (
    DuplicateProduct,
    MixedCurrencies,
    OrderNotFound,
    OutOfStock,
    UnknownProduct,
)
from orders.models import Order, OrderLine, OrderStatus, ShippingAddress, WantedLine
from orders.repository import OrderFilter, OrderRepository


class OrderService:
    """The orders, in one transaction.

    Args:
        orders: all SQL on them.
        products: holds prices and stock.
        customers: says who may order.
        outbox: takes the events.
    """

    def __init__(
        self,
        *,
        orders: OrderRepository,
        products: ProductService,
        customers: CustomerService,
        outbox: Outbox,
    ) -> None:
        self._orders = orders
        self._products = products
        self._customers = customers
        self._outbox = outbox

    async def place(
        self, customer_id: UUID, *, lines: Sequence[WantedLine], shipping_address: ShippingAddress
    ) -> Order:
        """Place an order: its stock is taken, and its prices are those of this moment.

        Raises:
            DuplicateProduct: a product stands in more than one line.
            CustomerInactive: the account was deactivated.
            UnknownProduct: a line names a product that does not exist.
            MixedCurrencies: not all products are sold in the same currency.
            OutOfStock: fewer are left than are wanted.
        """
        _refuse_duplicates(lines)
        await self._customers.require_active(customer_id)
        offers = await self._products.reserve({line.product_id: line.quantity for line in lines})
        _refuse_unfit(lines, offers)
        order = _order_of(customer_id, lines, offers, shipping_address)
        await self._orders.add(order)
        self._outbox.add(_placed(order))
        return order

    async def snapshots(self, *, after: UUID | None, limit: int) -> Sequence[OrderSnapshot]:
        """Tell what orders are at present, in the order of their ids; they stay so to the end."""
        orders = await self._orders.lock_page(after=after, limit=limit)
        return [_snapshot(order) for order in orders]

    async def get(self, order_id: UUID, *, customer_id: UUID | None) -> Order:
        """Give an order; with `customer_id` only an order of that customer.

        Raises:
            OrderNotFound: there is none for this caller.
        """
        order = await self._orders.find(order_id, customer_id=customer_id)
        if order is None:
            message = f"no order of yours has the id {order_id}: see GET /api/v1/orders"
            raise OrderNotFound(message)
        return order

    async def page(
        self, customer_id: UUID, *, wanted: OrderFilter, limit: int, after: Cursor | None
    ) -> tuple[Sequence[Order], Cursor | None]:
        """Give a page of a customer's orders."""
        return await self._orders.page(customer_id, wanted=wanted, limit=limit, after=after)


def _refuse_duplicates(lines: Sequence[WantedLine]) -> None:
    first: dict[UUID, int] = {}
    errors = [
        FieldError(
            detail=f"is the product of item {first[line.product_id]} already",
            pointer=f"#/items/{index}/product_id",
        )
        for index, line in enumerate(lines)
        if first.setdefault(line.product_id, index) != index
    ]
    if errors:
        message = "a product stands in more than one line: add up the quantities in one"
        raise DuplicateProduct(message, errors=errors)


def _refuse_unfit(lines: Sequence[WantedLine], offers: Mapping[UUID, Offer]) -> None:
    unknown = _field_errors(
        lines,
        "product_id",
        lambda line: None if line.product_id in offers else "is no product of the catalogue",
    )
    if unknown:
        message = "not all products exist: see GET /api/v1/products"
        raise UnknownProduct(message, errors=unknown)
    currency = offers[lines[0].product_id].price.currency
    foreign = _field_errors(
        lines, "product_id", lambda line: _foreign(offers[line.product_id], currency)
    )
    if foreign:
        message = "the products are sold in more than one currency: place an order for each"
        raise MixedCurrencies(message, errors=foreign)
    short = _field_errors(lines, "quantity", lambda line: _short(offers[line.product_id]))
    if short:
        message = "fewer are left than are wanted: order less of the products named in errors"
        raise OutOfStock(message, errors=short)


def _foreign(offer: Offer, currency: str) -> str | None:
    if offer.price.currency == currency:
        return None
    return f"is sold in {offer.price.currency}, and the first product in {currency}"


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
) -> Order:
    items = [
        OrderLine(
            product_id=line.product_id,
            position=position,
            name=offers[line.product_id].name,
            quantity=line.quantity,
            unit_price=offers[line.product_id].price,
        )
        for position, line in enumerate(lines)
    ]
    amount = sum(item.quantity * item.unit_price.amount for item in items)
    return Order(
        id=new_id(),
        customer_id=customer_id,
        status=OrderStatus.PLACED.value,
        items=items,
        total=Money(amount, items[0].unit_price.currency),
        shipping_address=shipping_address,
        version=1,
    )


def _placed(order: Order) -> OrderPlaced:
    return OrderPlaced(
        version=order.version,
        order_id=order.id,
        customer_id=order.customer_id,
        items=_lines(order),
        total=_data(order.total),
        placed_at=order.created_at,
    )


def _snapshot(order: Order) -> OrderSnapshot:
    return OrderSnapshot(
        version=order.version,
        order_id=order.id,
        customer_id=order.customer_id,
        status=order.status,
        items=_lines(order),
        total=_data(order.total),
        placed_at=order.created_at,
        updated_at=order.updated_at,
    )


def _lines(order: Order) -> list[OrderLineData]:
    return [
        OrderLineData(
            product_id=item.product_id,
            name=item.name,
            quantity=item.quantity,
            unit_price=_data(item.unit_price),
        )
        for item in order.items
    ]


def _data(money: Money) -> MoneyData:
    return MoneyData(amount=money.amount, currency=money.currency)
