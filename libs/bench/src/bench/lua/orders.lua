-- Orders of two products by many users: one from the first half of the catalogue, one from the
-- second, so that none stands in two lines. Arguments: a file with an access token on each line,
-- one with a product's id on each line, and a number to begin the run's idempotency keys with.
local tokens, products, keys = {}, {}, 0
local run

local address = '{"name": "Ada Lovelace", "line1": "12 St James Square", "city": "London", '
  .. '"postal_code": "SW1Y 4JH", "country": "GB"}'
local order = '{"items": [{"product_id": "%s", "quantity": 1}, {"product_id": "%s", "quantity": 2}], '
  .. '"shipping_address": ' .. address .. '}'

function init(args)
  for token in io.lines(args[1]) do tokens[#tokens + 1] = "Bearer " .. token end
  for product in io.lines(args[2]) do products[#products + 1] = product end
  run = tonumber(args[3])
  math.randomseed(run)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  local half = math.floor(#products / 2)
  keys = keys + 1
  wrk.headers["Authorization"] = tokens[math.random(#tokens)]
  wrk.headers["Idempotency-Key"] = string.format("%09d%09d", run, keys)
  return wrk.format(nil, nil, nil, string.format(
    order, products[math.random(half)], products[half + math.random(half)]))
end
