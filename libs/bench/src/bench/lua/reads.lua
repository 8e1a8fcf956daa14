-- GET of one path, by many users in turn. Arguments: a file with an access token on each line.
local requests, turn = {}, 0

function init(args)
  for token in io.lines(args[1]) do
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format("GET")
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
