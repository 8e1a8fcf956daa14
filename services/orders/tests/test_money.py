"""Amounts are exact, or refused: no sum is rounded on its way to a client."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.base import Money as MoneyData
from orders.catalog.errors import AmountRangeError, CurrencyMismatchError
from orders.catalog.models import MAX_SAFE_INTEGER, Money
from orders.catalog.schemas import Money as MoneyOut
from testkit.problems import problem_kind

AMOUNTS = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
CURRENCIES = st.from_regex("[A-Z]{3}", fullmatch=True)


def as_javascript(text: str) -> Any:
    """Read JSON as a reader does whose numbers are all binary64."""
    return json.loads(text, parse_int=float)


@given(amount=AMOUNTS, currency=CURRENCIES)
def test_an_amount_is_the_same_in_the_api_in_events_and_for_any_reader(amount, currency):
    money = Money(amount, currency)
    shown = MoneyOut.model_validate(money).model_dump_json()
    announced = MoneyData(amount=money.amount, currency=money.currency).model_dump_json()
    assert shown == announced == f'{{"amount":{amount},"currency":"{currency}"}}'
    assert as_javascript(shown)["amount"] == amount


@given(beyond=st.integers(min_value=1), negative=st.booleans())
def test_an_amount_that_would_be_rounded_is_refused(beyond, negative):
    amount = MAX_SAFE_INTEGER + beyond
    with pytest.raises(AmountRangeError, match=f"{amount} EUR .* beyond {MAX_SAFE_INTEGER}"):
        Money(-amount if negative else amount, "EUR")


@given(prices=st.lists(st.tuples(AMOUNTS, st.integers(0, 1000)), min_size=1, max_size=50))
def test_a_sum_is_exact_or_refused(prices):
    def total():
        return Money.sum_of(Money(amount, "EUR").times(quantity) for amount, quantity in prices)

    parts = [amount * quantity for amount, quantity in prices]
    if all(abs(one) <= MAX_SAFE_INTEGER for one in (*parts, sum(parts))):
        assert total() == Money(sum(parts), "EUR")
    else:
        with pytest.raises(AmountRangeError):
            total()


@given(currencies=st.lists(CURRENCIES, min_size=2, max_size=5))
def test_amounts_of_two_currencies_have_no_sum(currencies):
    assume(len(set(currencies)) > 1)
    with pytest.raises(CurrencyMismatchError, match="have no sum"):
        Money.sum_of(Money(1, currency) for currency in currencies)


@pytest.mark.parametrize("currency", ["", "EU", "EURO", "eur", "EUR\n", "ÄÖÜ", "E1R"])
def test_a_text_that_is_no_code_is_no_currency(currency):
    with pytest.raises(ValueError, match="ISO 4217"):
        Money(1, currency)


async def test_a_total_beyond_the_limit_is_refused_and_takes_no_stock(product, place, db):
    """No price of the API is so high; the database's column holds more than an amount may be."""
    made = await product(stock=10)
    await db.execute("UPDATE products SET price_amount = $1", MAX_SAFE_INTEGER // 2)
    answer = await place((made["id"], 3))
    assert answer.status_code == 422
    assert problem_kind(answer) == "total-too-large"
    assert str(MAX_SAFE_INTEGER) in answer.json()["detail"]
    assert await db.fetchval("SELECT stock FROM products") == 10
    assert (await place((made["id"], 2))).status_code == 201
