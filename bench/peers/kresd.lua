-- Knot Resolver, one process of two, as its manager would start them.
log_level('notice')
-- The rules of forwarding are kept in the folder of the process.
local ffi = require('ffi')
assert(ffi.C.kr_rules_init(nil, 0, true) == 0)
net.listen('@LISTEN_IP@', @LISTEN_PORT@, {kind='dns'})
@TLS@net.listen('@LISTEN_IP@', @TLS_PORT@, {kind='tls'})
@TLS@net.tls('@CERTIFICATE@', '@CERTIFICATE@')
-- No validation: the others do none.
trust_anchors.remove('.')
policy.rule_forward_add('.', {dnssec=false, auth=false}, {{'@UPSTREAM_IP@@@UPSTREAM_PORT@', tls=true, hostname='@NAME@', ca_file='@CA_FILE@'}})
-- By default a session carries 100 queries at a time; the next ones are answered with SERVFAIL.
net.tcp_pipeline(10000)
-- By default it closes connections of clients that are idle for 10 s; the unit is 1 ms.
net.tcp_in_idle(60000)
-- A cache larger than the names, which both processes share; it is in a file, so what the run before left is deleted.
cache.open(256 * MB, 'lmdb://@FOLDER@/kresd-cache')
cache.clear()
