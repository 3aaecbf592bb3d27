"""A crawler that fetches only what publishers allow to be used, and says which of their lines decided.

The rules are here, without any network: `robots` (RFC 9309), `robots_fetch` (what an answer for /robots.txt means), `policy` and
`opt_outs` (who is obeyed, and what publishers say outside robots.txt), `urls` (one spelling for one address), `scope` and `traps`
(which addresses a crawl takes), `sitemaps` and `links` (where addresses come from). docs/robots.md describes them.
"""
