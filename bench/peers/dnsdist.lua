-- dnsdist. A second addLocal on the same address is a second thread with a socket of its own.
-- maxInFlight: by default there is one query per connection of a client at a time.
addLocal("@LISTEN_IP@:@LISTEN_PORT@", {reusePort=true, maxInFlight=1000})
addLocal("@LISTEN_IP@:@LISTEN_PORT@", {reusePort=true, maxInFlight=1000})
@TLS@addTLSLocal("@LISTEN_IP@:@TLS_PORT@", "@CERTIFICATE@", "@CERTIFICATE@", {provider="openssl", reusePort=true, maxInFlight=1000})
-- As many queries wait in a socket as for all others.
setUDPSocketBufferSizes(4194304, 4194304)
-- recvmmsg and sendmmsg, as its guide to tuning says.
setUDPMultipleMessagesVectorSize(32)
-- No outside query for security notices, and nothing kept of queries for inspection; before 1.8 that is a size of 0.
setSecurityPollSuffix("")
if setRingBuffersOptions == nil then setRingBuffersSize(0, 64) else setRingBuffersOptions({recordQueries=false, recordResponses=false}) end
-- Threads own the sessions to the upstream; with one, a query costs more. Queues that do not overflow.
setMaxTCPClientThreads(@WORKERS@)
setTCPInternalPipeBufferSize(1048576)
setMaxTCPQueuedConnections(65535)
-- By default it closes connections of clients that are idle for 2 s, before as many as for all others are open.
setTCPRecvTimeout(60)
-- A packet cache larger than the names, in shards as its guide says.
@CACHED@getPool(""):setCache(newPacketCache(1000000, {numberOfShards=64}))
-- maxInFlight: by default there is one query per session at a time. checkName: what its health checks ask for.
newServer({address="@UPSTREAM@", tls="openssl", subjectName="@NAME@", caStore="@CA_FILE@", validateCertificates=true, maxInFlight=1000, checkName="health.example.com."})
