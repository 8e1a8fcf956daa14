-- The gateway's duties in nginx: an access token is checked once with OpenSSL and then kept until it
-- expires, each subject's requests are counted, and fields that only a proxy may set are removed.
local cjson = require("cjson.safe")
local ffi = require("ffi")
local decode_base64url = require("ngx.base64").decode_base64url

ffi.cdef[[
typedef struct bio_st BIO;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_st EVP_MD;
typedef struct evp_md_ctx_st EVP_MD_CTX;
BIO *BIO_new_mem_buf(const void *data, int length);
int BIO_free(BIO *bio);
EVP_PKEY *PEM_read_bio_PUBKEY(BIO *bio, EVP_PKEY **key, void *password, void *argument);
const EVP_MD *EVP_sha256(void);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *context);
int EVP_DigestVerifyInit(EVP_MD_CTX *context, void **pkey_context, const EVP_MD *digest,
                         void *engine, EVP_PKEY *key);
int EVP_DigestVerify(EVP_MD_CTX *context, const unsigned char *signature, size_t signature_length,
                     const unsigned char *data, size_t data_length);
void ERR_clear_error(void);
]]

local HALF = 32 -- bytes of each of the two numbers of a signature
local WINDOW_SECONDS = 1
local INSIDE_ONLY = {
  "forwarded", "remote-user", "x-authenticated-user", "x-http-method", "x-http-method-override",
  "x-method-override", "x-remote-user", "x-rewrite-url", "x-roles", "x-scopes", "x-session-id",
  "x-user", "http2-settings", "keep-alive", "proxy-authorization", "proxy-connection", "te",
  "trailer",
}
local PREFIXES = {
  ["x-user-"] = true, ["x-auth-"] = true, ["x-original-"] = true, ["x-forwarded-"] = true,
}

local M = {}
local key, issuer, audience, limit, policy
local inside_only = {}
for _, name in ipairs(INSIDE_ONLY) do inside_only[name] = true end

function M.configure(options)
  issuer, audience, limit = options.issuer, options.audience, options.limit
  policy = string.format('"default";q=%d;w=%d', limit, WINDOW_SECONDS)
  local file = assert(io.open(options.key, "rb"))
  local pem = file:read("*a")
  file:close()
  local bio = ffi.C.BIO_new_mem_buf(pem, #pem)
  key = ffi.C.PEM_read_bio_PUBKEY(bio, nil, nil, nil)
  ffi.C.BIO_free(bio)
  assert(key ~= nil, "no public key in " .. options.key)
end

-- A number of the signature as DER's INTEGER: no leading zeros, and one if it looked negative.
local function integer(bytes)
  local short = bytes:gsub("^%z+", "")
  if short == "" or short:byte() >= 128 then short = "\0" .. short end
  return "\2" .. string.char(#short) .. short
end

local function signed(text, signature)
  if signature == nil or #signature ~= 2 * HALF then return false end
  local numbers = integer(signature:sub(1, HALF)) .. integer(signature:sub(HALF + 1))
  local der = "\48" .. string.char(#numbers) .. numbers
  local context = ffi.C.EVP_MD_CTX_new()
  local good = ffi.C.EVP_DigestVerifyInit(context, nil, ffi.C.EVP_sha256(), nil, key) == 1
    and ffi.C.EVP_DigestVerify(context, der, #der, text, #text) == 1
  ffi.C.EVP_MD_CTX_free(context)
  if not good then ffi.C.ERR_clear_error() end
  return good
end

local function object(text)
  local decoded = text and cjson.decode(text)
  return type(decoded) == "table" and decoded or {}
end

-- The subject of a valid token, and the seconds until it expires; nil if it is not valid.
local function checked(token)
  local head, payload, signature = token:match("^([^.]+)%.([^.]+)%.([^.]+)$")
  if not head then return nil end
  local header = object(decode_base64url(head))
  if header.alg ~= "ES256" or header.typ ~= "at+jwt" then return nil end
  if not signed(head .. "." .. payload, decode_base64url(signature)) then return nil end
  local claims = object(decode_base64url(payload))
  local left = (tonumber(claims.exp) or 0) - ngx.now()
  if claims.iss ~= issuer or claims.aud ~= audience or left <= 0 then return nil end
  return type(claims.sub) == "string" and claims.sub or nil, left
end

local function subject_of(token)
  local known = ngx.shared.tokens:get(token)
  if known then return known end
  local subject, left = checked(token)
  if subject then ngx.shared.tokens:set(token, subject, left) end
  return subject
end

local function remove_fields()
  for name in pairs(ngx.req.get_headers(0)) do
    if inside_only[name] or PREFIXES[name:sub(1, 7)] or PREFIXES[name:sub(1, 11)]
      or PREFIXES[name:sub(1, 12)] then
      ngx.req.clear_header(name)
    end
  end
end

function M.admit()
  local sent = ngx.var.http_authorization
  local token = sent and sent:match("^[Bb]earer +(%S+)$")
  local subject = token and subject_of(token)
  if not subject then
    ngx.header["WWW-Authenticate"] = "Bearer"
    return ngx.exit(401)
  end
  local used = ngx.shared.subjects:incr(subject, 1, 0, WINDOW_SECONDS)
  if used > limit then
    ngx.header["Retry-After"] = WINDOW_SECONDS
    return ngx.exit(429)
  end
  ngx.ctx.left = limit - used
  remove_fields()
end

function M.mark()
  local left = ngx.ctx.left
  if left then
    ngx.header["RateLimit-Policy"] = policy
    ngx.header["RateLimit"] = string.format('"default";r=%d;t=%d', left, WINDOW_SECONDS)
  end
end

return M
