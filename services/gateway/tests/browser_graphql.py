"""A real browser uses the GraphQL page: Chromium, under the page's own Content-Security-Policy.

It is not collected by default, since it needs Chromium: ``make browser-check``.
"""

from playwright.async_api import expect

from testkit.browsers import chromium, visitor


async def test_the_page_shows_the_schema_and_sends_operations(gateway):
    async with chromium() as browser, visitor(browser, name="graphql") as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        await page.goto(f"{gateway.url}/graphiql")
        await expect(page.get_by_text("Product (object)")).to_be_visible()
        await page.get_by_label("Operation").fill(
            "query Kind($no: Boolean = true) { __typename @skip(if: $no) }"
        )
        await page.get_by_label("Variables").fill('{"no": false}')
        await page.get_by_role("button").click()
        await expect(page.get_by_text('"__typename": "Query"')).to_be_visible()
        await page.get_by_label("Variables").fill("{")
        await page.get_by_role("button").click()
        await expect(page.locator("#state")).to_contain_text("JSON")
        assert not errors
