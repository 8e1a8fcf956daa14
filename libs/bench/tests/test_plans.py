"""A program reads its plan from one file, and writes what it found into another."""

from pydantic import BaseModel

from bench.plans import carry_out


class Plan(BaseModel):
    number: int


class Result(BaseModel):
    double: int


async def doubled(plan: Plan) -> Result:
    return Result(double=2 * plan.number)


def test_a_plan_is_carried_out(tmp_path):
    plan, result = tmp_path / "plan", tmp_path / "result"
    plan.write_text('{"number": 21}')
    carry_out(Plan, doubled, [str(plan), str(result)])
    assert result.read_text() == '{"double":42}'
