"""JSON as XML: every document can be read back, with the reader of the standard library."""

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.links.xml import NotJson, problem_xml_of, xml_of

NAMESPACE = "{urn:ietf:rfc:7807}"


def read_back(element):
    """Return the JSON value of an element, by the rules of docs/guides/xml.md."""
    match element.get("type"):
        case "object":
            return {_key(child): read_back(child) for child in element}
        case "array":
            return [read_back(child) for child in element]
        case "null":
            return None
        case "boolean":
            return element.text == "true"
        case "number":
            return json.loads(element.text)
        case _:
            text = element.text or ""
            return json.loads(f'"{text}"') if element.get("escaped") == "json" else text


def _key(element):
    if element.tag != "member":
        return element.tag
    name = element.get("name")
    return json.loads(f'"{name}"') if element.get("escaped-name") == "json" else name


def parsed(document):
    return ET.fromstring(document)  # noqa: S314 - only what this test made is read


MAPPED = {
    '{"id": 7, "name": "Oak & <b>"}': """
        <response type="object">
            <id type="number">7</id>
            <name>Oak &amp; &lt;b&gt;</name>
        </response>""",
    "[1.50, null, true, []]": """
        <response type="array">
            <i type="number">1.50</i>
            <i type="null"></i>
            <i type="boolean">true</i>
            <i type="array"></i>
        </response>""",
    '"x"': "<response>x</response>",
    '{"a b": {}, "i": "", "xmlns": "\\u0000"}': """
        <response type="object">
            <member name="a b" type="object"></member>
            <member name="i"></member>
            <member name="xmlns" escaped="json">\\u0000</member>
        </response>""",
    '{"a\\"\\n": 1}': """
        <response type="object">
            <member name="a&quot;&#10;" type="number">1</member>
        </response>""",
    '{"\\t\\r": 1, "member": 2, "xmlfoo": 3, "XML": "\\r", "b": "\\uffff"}': """
        <response type="object">
            <member name="&#9;&#13;" type="number">1</member>
            <member name="member" type="number">2</member>
            <member name="xmlfoo" type="number">3</member>
            <member name="XML">&#13;</member>
            <b escaped="json">\\uffff</b>
        </response>""",
}


@pytest.mark.parametrize(("document", "expected"), MAPPED.items())
def test_the_mapping(document, expected):
    declaration, _, root = xml_of(document.encode()).decode().partition("\n")
    assert declaration == '<?xml version="1.0" encoding="UTF-8"?>'
    assert root == "".join(line.strip() for line in expected.splitlines())


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


@given(
    st.recursive(
        _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
    )
)
def test_any_document_of_json_can_be_read_back(value):
    assert read_back(parsed(xml_of(json.dumps(value).encode()))) == value


@pytest.mark.parametrize(
    "unfit",
    ["\x00", "\x08", "\x0b", "\x0c", "\x0e", "\x1f", "\ud800", "\ufffe", "\uffff"],
)
def test_a_character_that_xml_can_not_hold_can_be_read_back(unfit):
    value = {f"a{unfit}": [unfit, f"b{unfit}"]}
    assert read_back(parsed(xml_of(json.dumps(value).encode()))) == value


@pytest.mark.parametrize("number", ["12345678901234567890.10", "1E400", "-0", "1e-7"])
def test_a_number_keeps_its_digits(number):
    assert parsed(xml_of(number.encode())).text == number


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"[" * 3000 + b"]" * 3000],
    ids=["empty", "cut", "nan", "infinity", "not utf-8", "unclosed", "too deep"],
)
def test_what_is_no_document_of_json_is_refused(body):
    with pytest.raises(NotJson):
        xml_of(body)


def test_a_problem_document_has_the_namespace_and_the_form_of_the_rfc():
    problem = {
        "type": "https://slipway.example/problems/invalid",
        "title": "Invalid.",
        "status": 422,
        "errors": [{"detail": "too long", "pointer": "#/name"}, {"detail": "no", "pointer": None}],
    }
    root = parsed(problem_xml_of(json.dumps(problem).encode()))
    assert root.tag == f"{NAMESPACE}problem"
    assert root.findtext(f"{NAMESPACE}status") == "422"
    items = root.findall(f"{NAMESPACE}errors/{NAMESPACE}i")
    assert [item.findtext(f"{NAMESPACE}detail") for item in items] == ["too long", "no"]
    assert items[1].find(f"{NAMESPACE}pointer") is None
    assert not [element for element in root.iter() if element.attrib]
