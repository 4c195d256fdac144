//! Every message that the program logs: level, text, fields, meaning, what to do.

use tracing::Level;

use super::message::{Message, messages};

messages! {
    /// Start
    [
        SERVING: INFO "serving DNS over UDP and TCP"
            ["version", "listen", "dot", "doh", "doq", "admin", "upstreams", "workers", "roots", "udp_receive_buffer"]
            "dotgate serves clients." "";
        CONFIG_INVALID: ERROR "invalid configuration" ["problems"]
            "The configuration has errors. Nothing was started. In text format each problem has its own lines."
            "Fix every problem; `dotgate check` lists the same.";
        CONFIG_NOTE: WARN "unusual configuration" ["note"]
            "The configuration is valid, but may not do what was meant." "See `note`.";
        START_FAILED: ERROR "cannot start" ["reason", "hint"]
            "dotgate does not serve and exits: status 2 if the configuration is at fault, else 1." "See `hint`.";
        SANDBOXED: INFO "sandbox entered" ["parts", "landlock", "user"]
            "The process has given up rights that it does not need ([sandbox.md](sandbox.md)). `landlock` is the \
             version of the kernel's Landlock, `user` the user ID."
            "";
        NOT_SANDBOXED: INFO "part of the sandbox cannot be enforced" ["part", "reason"]
            "The kernel is too old, or the environment of dotgate denies it. DNS is served without this part."
            "See [sandbox.md](sandbox.md). `DOTGATE_SERVER_SANDBOX=require` makes it an error.";
        NO_UPSTREAM_AT_START: ERROR "no upstream is reachable; not serving" ["reasons", "hint"]
            "With `DOTGATE_SERVER_START=fail`, no upstream answered in time. dotgate exits with status 1."
            "See [No upstream responds](troubleshooting.md#no-upstream-responds).";
        UDP_BUFFER_SMALL: WARN "UDP receive buffer is smaller than configured" ["granted", "configured", "hint"]
            "The kernel caps the buffer. It may drop queries in bursts." "Raise `net.core.rmem_max`.";
        UDP_NOT_BATCHED: WARN "datagrams are not batched" ["reason"]
            "The system refuses recvmmsg or sendmmsg: one call for each datagram, at a higher CPU cost."
            "Allow both calls in the seccomp profile.";
        NOTIFY_FAILED: WARN "cannot notify the service manager" ["reason"]
            "`NOTIFY_SOCKET` names a socket that cannot be reached." "Check the unit, or unset `NOTIFY_SOCKET`.";
        ANNOUNCE_FAILED: WARN "cannot report that this process serves" ["reason"]
            "The command that started this process (`dotgate replace`) has exited." "";
        ADDRESS_AWAITED: WARN "listening address is not on this host yet; waiting for it" ["address", "reason"]
            "The address appears late (DHCP, VPN, IPv6 duplicate detection) or is wrong." "If it does not appear, check `HOST`.";
        NO_ADDRESS: WARN "none of the listening addresses is on this host: no client is served" []
            "Every address in `HOST` is missing." "Check `HOST`.";
        ADDRESS_FOUND: INFO "listening address is on this host now" ["address"]
            "The address has appeared." "";
        ADDRESS_UNUSABLE: ERROR "cannot listen on the address; retrying" ["address", "reason"]
            "The address has appeared, but cannot be used." "See `reason`; often another process uses the port.";
        ADMIN_AWAITED: WARN "admin address is not on this host yet; waiting for it" ["address", "reason"]
            "As for listening addresses." "If it does not appear, check `DOTGATE_ADMIN_LISTEN`.";
        ADMIN_FOUND: INFO "admin address is on this host now" ["address"] "The address has appeared." "";
        ADMIN_UNUSABLE: DEBUG "admin address is not usable yet; retrying" ["address", "reason"]
            "dotgate looks for the address once a second." "";
        NO_ADMIN_SOCKET: WARN "no admin socket: commands use DOTGATE_ADMIN_LISTEN" ["path", "reason"]
            "The Unix socket for `dotgate status` and the like cannot be made." "See `reason`.";
        TOKEN_UNUSABLE: ERROR "cannot use the admin token: requests with a token are rejected" ["reason", "hint"]
            "DNS is served. Until the token is valid, changes and cache views need the Unix socket." "See `reason`.";
        TOKEN_READABLE: WARN "every user of this host can read or write the file of the admin token" ["file", "hint"]
            "Local users could change the log level, view the cache and flush it." "See `hint`.";
    ]
    /// Upstreams
    [
        UPSTREAM_REACHABLE: INFO "upstream reachable" ["upstream", "tls", "key_exchange", "time_ms", "certificate_days"]
            "The first session to the upstream is open: TLS version, key exchange, time of connection and handshake, days until its certificate expires. Once for each upstream." "";
        UPSTREAM_DOWN: WARN "upstream is down" ["upstream", "reason", "detail", "hint"]
            "Queries go to the other upstreams. dotgate keeps trying this one. `detail` is the error of the system or of TLS."
            "See [An upstream is down](troubleshooting.md#an-upstream-is-down).";
        UPSTREAM_RECOVERED: INFO "upstream answers again" ["upstream"] "An upstream that was down responded." "";
        UPSTREAM_PREFERRED: DEBUG "queries go to another upstream" ["upstream", "before"]
            "The first healthy upstream in the order of the settings has changed." "";
        PIN_MISMATCH: WARN "upstream key matches none of its pin-report pins" ["upstream", "pin"]
            "The certificate is valid and queries are sent, but neither the key of the upstream nor that of its \
             authority matches `pin-report=`. Logged when the key changes."
            "Ask the provider whether the key was rotated. If so, replace the pin by `pin`.";
        ALPN_REJECTED: INFO "upstream rejected ALPN \"dot\"; retrying without ALPN" ["upstream"]
            "The server does not support the protocol name of RFC 7858. It works without." "";
        KEY_EXCHANGE_REDUCED: INFO "upstream does not receive a large TLS ClientHello; offering a classical key exchange for a day at a time" ["upstream", "hint"]
            "A device on the path drops or resets the ClientHello with X25519MLKEM768." "See `hint`.";
        FEW_RESPONSES: INFO "upstream closes connections after few responses; limiting the queries per connection" ["upstream", "responses"]
            "The server limits the number of queries on a connection." "";
        HARMFUL_QUERY: WARN "a query makes the upstream close every connection; it gets SERVFAIL and is sent at most once a second" ["upstream"]
            "Two connections that carried only this query were closed. Other queries are not affected."
            "Report it to the provider; `debug` names the query.";
        LOOP: ERROR "loop: a query to an upstream came back as a query of a client" ["group", "hint"]
            "A server of the route sends its names to dotgate, directly or through others. Such a query gets SERVFAIL at once. At most one line a minute and worker."
            "See [A loop](troubleshooting.md#a-loop).";
        NAME_RESOLVED: INFO "upstream name resolved" ["upstream", "addresses"] "The addresses of the name are new or have changed." "";
        NAME_HAS_MORE: WARN "upstream name has more addresses than are used" ["upstream", "left_out"] "At most 32 addresses of each family are used." "";
        NAME_UNRESOLVED: WARN "cannot resolve the upstream name; retrying" ["upstream", "reason"]
            "The upstream cannot be used before its name is resolved." "Check `DOTGATE_BOOTSTRAP_ADDRESSES`.";
        NAME_NOT_RENEWED: WARN "cannot resolve the upstream name again; keeping its last addresses" ["upstream", "reason"]
            "The upstream is still used." "Check `DOTGATE_BOOTSTRAP_ADDRESSES`.";
        NAME_INVALID: ERROR "upstream name is not a DNS name" ["upstream"] "The upstream is not used." "Check `DNS_HOST`.";
        SESSION_OPENED: DEBUG "session opened" ["worker", "upstream", "tls", "key_exchange", "resumed", "time_ms"]
            "A TLS session to an upstream carries queries from now on." "";
        SESSION_FAILED: DEBUG "session failed" ["worker", "upstream", "reason"]
            "A session could not be opened, or broke." "";
        SESSION_CLOSED: DEBUG "session closed" ["worker", "upstream", "reason", "lifetime_ms", "responses"]
            "A session has ended: why, after what time, with how many responses." "";
        PROBE_SENT: DEBUG "probe sent" ["worker", "upstream"] "dotgate queries `DOTGATE_DNS_PROBE` to test whether the upstream responds." "";
        NETWORK_CHANGED: DEBUG "network changed: sessions are tested" ["reason"]
            "The addresses or routes of this host have changed, or it was suspended. Each session gets a probe at \
             once, and upstreams that are down are tried." "";
        NETWORK_UNWATCHED: INFO "network changes are detected late" ["reason"]
            "The kernel does not report changes to this process. After a change, the first query takes about a \
             second."
            "Allow sockets of the family `AF_NETLINK` (`RestrictAddressFamilies=` of systemd).";
        PROBE_ANSWERED: DEBUG "probe answered" ["worker", "upstream", "round_trip_ms"] "The upstream responds." "";
    ]
    /// Queries
    [
        LIMIT_REACHED: WARN "limit reached: queries or connections of clients were rejected" ["limit", "setting", "max", "times", "client", "effect"]
            "`times` counts the cases since the last such line, at most one every ten seconds and worker; `client` is \
             the prefix of the clients that reached it most often."
            "Find the client, or raise the setting.";
        QUERY_FAILED: DEBUG "query failed" ["client", "transport", "question", "outcome", "rcode", "reason", "upstream", "attempts", "ms"]
            "A client got a locally generated error after `attempts` attempts. Contains a name and a client address." "";
        ATTEMPT: TRACE "question sent" ["worker", "upstream", "kind", "question"]
            "An attempt at an upstream: `kind` as in `dotgate_upstream_attempts_total`. Contains a name." "";
        ATTEMPT_FAILED: TRACE "attempt failed" ["worker", "upstream", "kind", "question", "reason", "ms"]
            "The attempt got no usable response from this upstream, after `ms` milliseconds. Contains a name." "";
        CLIENT_HANDSHAKE: DEBUG "TLS handshake of a client ended" ["worker", "client", "transport", "result", "ms"]
            "`result` as in `dotgate_client_handshakes_total`: `full` or `resumed`, or why it failed. Contains a client address." "";
        QUERY_DONE: TRACE "query answered" ["client", "transport", "question", "outcome", "rcode", "upstream", "attempts", "ms"]
            "A query has ended: `outcome` as in `dotgate_queries_total`. Contains a name and a client address." "";
    ]
    /// Operation
    [
        CLOCK_NOT_SET: WARN "this system's clock is not set: certificates cannot be validated" ["names", "upstreams", "hint"]
            "`names` are resolved by `upstreams`, which only their pins authenticate. All other names fail until the \
             clock is set." "See `hint`.";
        PORTAL_OPENED: WARN "portal window opened: names go to the resolver of the network, not encrypted" ["resolver", "names", "seconds"]
            "An operator opened it (`dotgate portal`). `names`: the connectivity checks of systems, or all names without a route. It closes after `seconds` at the latest."
            "See [A portal window is open](troubleshooting.md#a-portal-window-is-open).";
        PORTAL_CLOSED: WARN "portal window closed" ["reason", "seconds", "queries"]
            "`encrypted`: an upstream has responded over TLS. `expired`: its time has elapsed. `command`: an operator \
             closed it or opened another one. `settings`: a reload no longer permits it. `stopping`: this process \
             ends. `queries`: number of queries to the resolver of the network." "";
        ROUTES_SET: INFO "routes were set on request" ["owner", "routes", "seconds"]
            "A program has set `routes` (`dotgate routes set`, `POST /api/v1/routes`). They expire after `seconds`, unless they are set again." "";
        ROUTES_REMOVED: INFO "routes were removed on request" ["owner"]
            "Names of these routes go to the default upstreams again, or to those of a shorter suffix." "";
        ROUTES_EXPIRED: WARN "routes have expired; their names fail" ["owner", "routes", "hint"]
            "Their owner has not renewed them in time. Queries for their names get SERVFAIL and are not sent to other \
             upstreams."
            "See [Routes of a program have expired](troubleshooting.md#routes-of-a-program-have-expired).";
        QUERY_LOG_LOST: WARN "cannot write the query log; queries are not logged until it can be written" ["place", "reason"]
            "Logged once until a write succeeds. DNS is still served." "See `reason`: often a full disk, or a reader of standard output that has ended.";
        QUERY_LOG_AGAIN: INFO "query log resumed" ["place", "lost"]
            "A write has succeeded. `lost`: records that were not written." "";
        DNSTAP_CONNECTED: INFO "dnstap reader is connected" ["reader"]
            "All messages are copied to `reader` from now on." "";
        DNSTAP_LOST: WARN "no dnstap reader; messages are not copied until one is connected" ["reader", "reason"]
            "Logged once until the reader is connected again, which is tried every 1 to 30 seconds. DNS is still \
             served." "See `reason`: often the reader does not run, or its socket does not belong to the user of dotgate.";
        QUERIES_SHOWN: INFO "a reader of live queries is connected" ["readers"]
            "A reader with the admin token, or at the admin socket, sees queries from now on. `readers`: number of \
             readers." "";
        STATUS: INFO "status" ["uptime_seconds", "queries", "answered", "cached", "stale", "failed", "in_flight", "tcp_connections", "cache_entries", "cache_bytes", "cache_bytes_max", "awaited"]
            "SIGUSR1: the state of this process." "";
        UPSTREAM_STATUS: INFO "status of an upstream" ["upstream", "state", "state_seconds", "last_response_seconds", "round_trip_ms", "sessions", "handshakes", "last_error", "last_error_seconds", "certificate_days_left"]
            "SIGUSR1: the state of one upstream." "";
        SIGNAL_IGNORED: INFO "signal ignored" ["signal"] "Another process sent the signal." "";
        ACCEPT_PAUSED: WARN "no file descriptor left: new TCP connections wait" ["worker", "hint"]
            "The limit of open files is reached." "See `hint`.";
        ACCEPT_REFUSED: ERROR "cannot accept TCP connections; retrying four times a second" ["worker", "reason"]
            "Clients cannot connect." "See `reason`; often a seccomp profile.";
        RECEIVE_REFUSED: ERROR "cannot receive UDP datagrams: queries are lost" ["worker", "reason"]
            "Clients get no response over UDP." "See `reason`; often a seccomp profile.";
        NOT_LISTENING: ERROR "cannot watch the sockets of a new listening address" ["worker", "reason"]
            "Clients of that address are not served by this worker." "Restart dotgate.";
        WORKER_PANICKED: ERROR "worker panicked and was restarted; its in-flight queries were answered with SERVFAIL" ["worker", "reason"]
            "A bug in dotgate." "Report it, with the line before.";
        WORKER_ENDED: ERROR "worker cannot continue" ["worker", "reason"]
            "The other workers continue with their own sockets." "Restart dotgate.";
        PANICKED: ERROR "a thread panicked" ["thread", "at", "reason"] "A bug in dotgate." "Report it.";
        LINES_DROPPED: WARN "log lines were dropped: standard error was blocked" ["lines"]
            "The reader of the log is stuck or too slow. dotgate does not wait for it." "";
        CACHE_FLUSHED: INFO "cache flushed on request" ["entries"] "An operator flushed the cache." "";
        LEVEL_CHANGED: WARN "log level was changed, until the next reload or start" ["level"] "An operator changed it at the admin endpoint." "";
    ]
    /// Reload
    [
        RELOADED: INFO "configuration reloaded" ["reason", "upstreams"] "The new configuration is active." "";
        SETTING_CHANGED: DEBUG "setting changed" ["setting", "before", "now"] "One change by a reload." "";
        RELOAD_REJECTED: ERROR "reload rejected; keeping the current configuration" ["reason"]
            "The new configuration has errors. Nothing has changed. A line for each error follows."
            "Fix every problem before the next start, which would fail.";
        RELOAD_PROBLEM: ERROR "problem in the new configuration" ["problem", "hint"] "One of the errors." "See `hint`.";
        NEEDS_RESTART: WARN "changed but not applied until restart" ["settings"] "These settings cannot change while dotgate runs." "`systemctl reload dotgate` replaces the process.";
        OVERRIDDEN: WARN "fixed by the environment: the value in the file has no effect" ["variable", "origin"]
            "Variables take precedence over the file." "Remove one of the two.";
        RELOAD_WHILE_STOPPING: INFO "SIGHUP ignored: this process is stopping" [] "" "";
    ]
    /// Stop and takeover
    [
        STOPPING: INFO "stopping: serving clients until no more queries arrive" ["reason"] "dotgate received a signal to stop." "";
        REPLACED: INFO "stopping: another process serves; connected clients are served until they are idle" ["by"]
            "A new process took the listening sockets over." "";
        STOPPED: INFO "stopped" ["finished", "forwarded", "answered", "failed", "refused", "malformed", "attempts", "sessions", "resumed"]
            "The process has stopped; totals since startup. `finished=false`: a second signal or a stuck worker ended it early." "";
        TAKEOVER_BEGUN: DEBUG "takeover begun" ["process"] "A new process requested the sockets." "";
        TAKEOVER_DENIED: WARN "takeover denied: the process belongs to another user" [] "Only processes of the same user or root may take over." "Find out who it was.";
        CREDENTIALS_NOT_HANDED_OVER: WARN "cannot pass on the credentials of the service manager" ["reason"] "The new process fails to start if its settings name one of them." "`systemctl restart dotgate`.";
        TAKEOVER_UNHEARD: WARN "cannot accept a takeover; retrying" ["reason"] "The take-over socket fails." "See `reason`.";
        TAKEOVER_FAILED: INFO "takeover failed: the new process exited; still serving" ["reason"] "The new process exited before it served." "Its own log says why.";
        TAKEOVER_LATE: WARN "takeover failed: the new process took too long; still serving" [] "The new process did not serve within 10 s." "Its own log says why.";
    ]
    /// Snapshot of the cache
    [
        STATE_RESTORED: INFO "upstream state restored from the state file" ["file", "upstreams"] "`upstreams`: number of upstreams in the file." "";
        STATE_UNREADABLE: WARN "cannot read the state file: starting without upstream state" ["file", "reason"] "The file is damaged, of another version or not accessible." "See `reason`.";
        STATE_UNSAVED: WARN "cannot write the state file: the next start has no upstream state" ["file", "reason"] "" "See `reason`.";
        SNAPSHOT_RESTORED: INFO "cache restored from its snapshot" ["file", "entries", "left_out", "age_seconds"] "`left_out`: entries that have expired or are invalid." "";
        SNAPSHOT_ABSENT: INFO "no snapshot yet: the cache starts empty" ["file"] "This is normal at the first start." "";
        SNAPSHOT_UNREADABLE: WARN "cannot read the snapshot: the cache starts empty" ["file", "reason"] "The file is damaged, of another version or not accessible." "See `reason`.";
        SNAPSHOT_SAVED: INFO "cache saved to its snapshot" ["file", "entries"] "" "";
        SNAPSHOT_UNSAVED: WARN "cannot save the snapshot: the next start has an empty cache" ["file", "reason"] "" "See `reason`.";
    ]
}
