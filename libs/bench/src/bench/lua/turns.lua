-- Given requests in turn, by many users in turn. Arguments: a file with an access token on each line,
-- and one with a request on each line: method, path and body, apart by tabs; the body may be empty.
local requests, turn = {}, 0

function init(args)
  local tokens, wanted = {}, {}
  for token in io.lines(args[1]) do tokens[#tokens + 1] = "Bearer " .. token end
  for line in io.lines(args[2]) do wanted[#wanted + 1] = line end
  for _, token in ipairs(tokens) do
    for _, line in ipairs(wanted) do
      local method, path, body = line:match("^(%S+)\t(%S+)\t(.*)$")
      local headers = { ["Authorization"] = token }
      if body ~= "" then headers["Content-Type"] = "application/json" end
      requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
    end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
