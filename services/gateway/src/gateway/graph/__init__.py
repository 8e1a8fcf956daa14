"""GraphQL: `POST /graphql`, subscriptions over graphql-transport-ws and SSE.

The gateway executes operations itself. Resolvers call the services over HTTP, with the caller's
token, so the services decide what a caller may do.
"""
