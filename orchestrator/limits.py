"""Every bound of the system, with its unit and its reason.

A queue, loop, retry, page, cache or time-out that is not named here has no business being bounded
elsewhere. Values a user may change are defaults of settings (`orchestrator.config`).
"""

from __future__ import annotations

# Names -----------------------------------------------------------------------------------------
NAMESPACE_CHARS_MAX = 64
"""A namespace is part of every key and queue name."""
NAME_BYTES_MAX = 1000
"""Workflow ids, types, signal names. Temporal's servers use the same bound."""
TASK_QUEUE_BYTES_MAX = 200
"""AMQP short strings end at 255 bytes; our prefixes need the rest."""

# Sizes -----------------------------------------------------------------------------------------
PAYLOAD_BYTES_MAX = 2 * 1024 * 1024
"""One argument or result. Larger values belong in a store of their own, passed by reference."""
CODEC_CALLS_IN_FLIGHT_MAX = 16
"""Calls of a payload codec for one message; a codec may ask a server for each."""
CLAIM_THRESHOLD_BYTES = 256 * 1024
"""Payloads above this size go to a store of their own, where there is one."""
CLAIMED_BYTES_MAX = 64 * 1024 * 1024
"""Of one value in such a store; a worker holds the values of a task in memory."""
CODEC_INLINE_BYTES_MAX = 64 * 1024
"""Work on more bytes than this takes longer than a millisecond: it is done in a thread."""
DECOMPRESSED_BYTES_MAX = 64 * 1024 * 1024
"""Of one payload; what says that it is larger is not unpacked."""
TYPE_ADAPTERS_MAX = 1_000
"""Annotations whose validators are kept; making one takes milliseconds."""
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""The arguments of one call together, and a request. A task holds more beside its arguments, and
RabbitMQ 4 refuses messages of 16 MiB by closing the channel."""
INLINE_ENTRY_BYTES_MAX = 8 * 1024
"""An inbox entry travels inside its wake-up up to this size; larger ones are read from Redis."""
FAILURE_CAUSES_MAX = 20
"""Links of a chain of failures that travel; the last one says that more were left out."""
FAILURE_MESSAGE_CHARS_MAX = 10_000
"""Of each link: enough for a person, and a chain still fits a commit."""
FAILURE_STACK_FRAMES_MAX = 50
"""Innermost frames of each link's stack: the place of the error is at that end."""
FAILURE_STACK_CHARS_MAX = 10_000
"""Of each link's stack; paths may be long."""
REASON_CHARS_MAX = 500
"""Why a message is dead. It travels in a header, and headers must fit into one AMQP frame."""
PROBLEM_STACK_CHARS_MAX = 4_000
"""The end of the stack that a run shows with its problem; the failure event has all of it."""
JSON_DEPTH_MAX = 64
"""Nesting of a value and of foreign JSON; what is deeper is refused before it exhausts a stack."""
MESSAGE_DEPTH_MAX = 2 * JSON_DEPTH_MAX
"""Nesting of a message, which may hold a value of the greatest depth below a chain of causes."""
JSON_INTEGER_DIGITS_MAX = 4_300
"""Digits of an integer in foreign JSON: Python itself refuses to read longer ones."""

SEARCH_ATTRIBUTE_BYTES_MAX = 2 * 1024
"""One value of a search attribute. It becomes a part of key names; Temporal's bound is the same."""
SEARCH_ATTRIBUTES_BYTES_MAX = 40 * 1024
"""All search attributes of a run; Temporal's bound is the same."""
SEARCH_ENTRIES_MAX = 100
"""Values of one run that listings can look up: each is a key of every script that makes, changes
or removes the run."""
CHANGE_VERSIONS_BYTES_MAX = 2 * 1024
CHANGE_VERSIONS_MAX = 50
"""Patches of one run that listings can look up; further ones work all the same."""
MEMO_BYTES_MAX = 2 * 1024 * 1024
"""All notes of a run together; Temporal's bound is the same."""

SUMMARY_BYTES_MAX = 400
"""A static summary: one line in a listing. Temporal's bound is the same."""
DETAILS_BYTES_MAX = 20_000
"""Static details: a page. Temporal's bound is the same."""

# A commit --------------------------------------------------------------------------------------
COMMIT_COMMANDS_MAX = 200
"""Commands in one commit: 10 µs each in Lua keeps a script near 2 ms."""
COMMIT_BYTES_MAX = 1024 * 1024
"""Bytes of events in one commit; more follows in further commits of the same task."""
INBOX_PAGE_ENTRIES = 500
"""Inbox entries read and consumed at once."""
HISTORY_PAGE_EVENTS = 1000
"""Events read at once."""
SEEN_OPERATIONS_MAX = 1000
"""Operation ids of signals and cancels that are remembered for a workflow id."""
CLOSE_REFUSALS_MAX = 10
"""A hot signaller may refuse a close this often; then it is forced."""
STALE_IN_A_ROW_MAX = 3
"""After so many stale answers the rivals hold deliveries of their own, and ours is acked."""
ACTIVATIONS_PER_TASK_MAX = 100
"""Activations under one delivery; then a fresh wake-up lets other runs have their turn."""
REQUEST_ATTEMPTS_MAX = 20
"""Tries, a second apart, of a request that fails for no known reason; then it is a dead letter."""
REQUEST_ABSENCES_MAX = 5
"""Tries of a request, a second apart, while the store is away; then another process may have it."""
COMMIT_REPEATS_MAX = 20
"""Repeats of a store call with unknown outcome before the delivery is given back."""

# Time, in milliseconds ---------------------------------------------------------------------------
WORKFLOW_TASK_TIMEOUT_MS = 10_000
"""How long a worker may hold a workflow task unheard of before it is repeated (Temporal: 10 s)."""
WORKFLOW_TASK_TIMEOUT_MAX_MS = 120_000
CODEC_TIMEOUT_MS = 30_000
"""For one call of a payload codec; then its task fails, and is tried again later."""
LOCAL_PROGRESS_MS = 5_000
"""A task that waits for local activities writes what it has, and looks at news, this often."""
LOCAL_RETRY_THRESHOLD_MS = 60_000
"""A local activity's retry that is further away is waited for by a durable timer (Temporal's)."""
TASK_EXTENSION_MS = 5_000
"""A worker that is still busy moves its row on this often."""
WAKEUP_REPEATS_MS = (2_000, 5_000, 10_000, 20_000, 30_000)
"""When a wake-up is repeated; the last one is repeated for ever."""
DISPATCH_REPEATS_MS = (2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000)
"""When an activity task that nobody has begun is looked at again. Each wait is part of the time it
has waited already, so that the repeats of a backlog of hours do not outgrow it."""
REPEAT_ANYWAY_MS = 60_000
"""A repeat held back because its queue is long is published after this time all the same."""
TASK_BACKOFF_INITIAL_MS = 1_000
TASK_BACKOFF_MAX_MS = 600_000
"""Back-off of failing workflow tasks: doubles between these two."""
HAND_BACK_MS = 5_000
"""A run whose type this worker lacks is offered again after this time."""
WARN_AGAIN_MS = 60_000
"""A warning about the same thing is written at most this often."""
REPLAY_TURN_MS = 20
"""A long replay lets other work of its process have a turn after so long."""
STICKY_TTL_MS = 500
"""A wake-up waits this long in a worker's own queue before any worker may have it."""
STICKY_EXPIRES_MS = 60_000
"""A worker's own queue goes when unused for so long: well above the TTL, so nothing is dropped."""
PRESENCE_TTL_MS = 10_000
PRESENCE_RENEW_MS = 3_000
ASK_HOLDER_MS = 10_000
"""An acked activity's holder is asked for signs of life this often; also for how long a loss at
the last attempt is asked for before it is recorded."""
RATE_MIN = 0.000_01
RATE_MAX = 1_000_000
"""Activities a second: one a day is about the former; beyond the latter a limit limits nothing."""
RATE_BURST_US = 1_000_000
"""Turns of a rate limit that were not used within this time may be used at once."""
CONCURRENCY_MAX = 100_000
"""Attempts at a time under one limit; more are bounded by workers."""
HOLDER_DOUBT_MS = 10_000
"""A place under a concurrency limit that others wait for is compared with its attempt's record when
it is this old, and again after the same time; so long an attempt may take from there to begin."""
DOUBTED_AT_ONCE_MAX = 10
"""Holders that one asker has to look at, and waiters that one act calls for each limit."""
HANDED_ON_MAX = 100
"""Waiters that one act looks at; stale ones beyond are met by the next."""
WAITER_LOOK_MS = 10_000
WAITER_LOOK_PER_PLACE_MS = 100
WAITER_LOOK_MAX_MS = 600_000
"""A waiter that was not called asks again after the first time, the second more for each waiter
before it, and at most the third: ten thousand waiters ask less than fifty times a second."""
CONCURRENCY_KEPT_MS = 3_600_000
"""A limit that nobody has asked for so long after the end of its longest attempt is forgotten."""
YEAR_MS = 365 * 86_400_000
PAUSED_LOOK_MS = 600_000
"""A paused activity is looked at this often, in case its deadline was moved."""
HELD_DELIVERY_MAX_MS = 600_000
"""An activity that may run longer is acked after begin: RabbitMQ's ack time-out is 30 min."""
FINISHES_KEPT_MS = 30_000
"""Finishes that a process sends again when Redis has failed over."""
SLOT_WAIT_MS = 5_000
"""A delivery waits so long for a slot before it is given back, perhaps to a worker that has one."""
DRIVEN_BY_ARMER_MS = 2_000
"""Who arms something due within this time drives it too, beside the shard's owner."""
ROW_LEASE_MS = 5_000
"""Whoever does an act on another workflow has its row to itself for so long; then others may."""
CHILD_WATCH_MIN_MS = 300_000
CHILD_WATCH_MAX_MS = 3_600_000
"""How often a child that exists is looked at, in case its shard has lost it or its end."""
EXTERNAL_FULL_RETRY_MS = 1_000
"""A signal to another workflow that has too many unread entries is offered again so often."""
IDLE_POLL_MS = 1_000
"""Owners look at their shards at least this often; due rows wake them earlier."""
MEMBERSHIP_TTL_MS = 4_000
"""An engine process unheard of for so long owns no shard any more."""
UPDATE_REPLY_TTL_MS = 60_000
"""Why an update was not let in can be read so long; who comes later sends it again."""
RESULT_REREAD_MS = 5_000
"""A waiting client reads again this often, whatever it was told."""
CONFIRM_TIMEOUT_MS = 10_000
"""A publish without an answer for so long has an unknown outcome."""
STORE_TIMEOUT_MS = 5_000
"""A Redis call without an answer for so long has an unknown outcome."""
CONNECT_TIMEOUT_MS = 5_000
"""Opening a server, or coming back to one, with all its checks."""
LISTEN_PING_MS = 10_000
"""How often a connection that only listens asks whether it is still there."""
UNLISTEN_AFTER_MS = 5_000
"""A channel without receivers is kept so long: the next waiting client subscribes to nothing."""
CRON_DAYS_MAX = 5 * 366
"""How far ahead the next time of a cron schedule is looked for."""
CRON_INTERVAL_MIN_MS = 1_000
DURATION_MS_MAX = 100 * 365 * 24 * 3600 * 1000
"""A time-out or delay of a start: 100 years are meant as "for ever", more is a mistaken unit."""
RETENTION_MS = 7 * 24 * 3600 * 1000
"""Closed runs are kept so long; it is also the horizon within which a start is recognised."""
ACTIVATION_BUDGET_MS = 2_000
"""Workflow code that neither awaits nor returns for so long fails its task."""
INTERRUPT_REPEAT_MS = 10
INTERRUPT_REPEAT_MAX_MS = 1_000
"""Code that is over its budget is interrupted again after the first, doubling up to the second."""
LINT_OBJECTS_MAX = 5_000
"""Functions and classes that the check of one workflow looks at; what is further away is not."""
LINT_FILES_KEPT = 8
"""Parsed files of workflow code that are at hand for the next check; one takes some MB."""
STACK_LOOKS_MAX = 20
"""Looks at a thread, 1 ms apart, until one meets user code and not the loop that runs it."""
STACK_LINES_MAX = 30
"""Frames shown of code that was over its budget, the innermost ones."""
INTERRUPTS_GENTLE_MAX = 6
"""After so many interrupts (0.6 s) the code's own clean-up is no longer spared."""
QUERY_TIMEOUT_MS = 10_000
GRACEFUL_SHUTDOWN_MS = 10_000
"""How long the command line lets running activities finish; the library's default is no time, as
Temporal's."""
HEALTH_ANSWER_MS = 2_000
"""A health check is answered, or given up, within this time; container engines wait for 3 s and
more."""
CHILD_RESTART_MS = (500, 30_000)
"""A worker process that died is started again after this time, doubled up to the second number."""
CHILD_STEADY_MS = 60_000
"""One that lived for so long before is started again at once."""
DRAIN_MS = 10_000
"""How long a worker that ends waits for its workflow tasks; they are short, unless a server is
away."""

TIMER_MS_MAX = 100 * 365 * 24 * 3600 * 1000
"""A longer timer is a slip of units; its due time would also leave what scores hold exactly."""
HEALTH_PORT = 8686
"""Asked by a health check that is told no port."""
HEALTH_REQUEST_BYTES_MAX = 8 * 1024
HEALTH_REQUESTS_MAX = 16
"""Health checks in work at a time."""
WORKER_PROCESSES_MAX = 256
"""More processes under one supervisor are a mistake rather than a wish."""

# Counts ----------------------------------------------------------------------------------------
SHARDS = 128
"""Written when a namespace is made and never changed."""
DUE_ROWS_MAX = 200
"""Rows one poll of a shard takes up."""
REQUESTS_MAX = 100
"""Requests of AMQP clients that one gateway has in work."""
WORKFLOW_TASKS_MAX = 100
ACTIVITIES_MAX = 100
LOCAL_ACTIVITIES_MAX = 100
CACHED_WORKFLOWS_MAX = 1_000
CRASHES_BEFORE_ISOLATION = 3
"""A run that took its worker down so often is executed alone in a child process."""
ISOLATION_TIMEOUT_MS = 30_000
"""How long a run may take that is tried alone, its imports and its whole replay included."""
ISOLATION_END_MS = 2_000
"""How long its process may take to write where it is when its time is over."""
ISOLATION_MEMORY_BYTES = 1024 * 1024 * 1024
"""What it may take beyond what its imports took."""
ISOLATION_OUTPUT_BYTES = 64 * 1024
"""The last bytes of its output that are kept."""
CRASHES_BEFORE_PARKING = 6
"""A run that went on doing so although it survived alone is parked."""
PENDING_ACTIVITIES_MAX = 2_000
PENDING_LOOKS_MAX = 200
"""Events of pending activities that are read in one turn while one of them is looked for."""
PENDING_TIMERS_MAX = 10_000
UPDATES_OPEN_MAX = 500
"""Updates of one run that are accepted and not completed; as many as a page of its inbox."""
UPDATES_MAX = 2_000
"""Updates that one run accepts: it remembers each id. Temporal's servers use the same bound."""
UPDATES_SUGGEST = 1_800
"""From here on continue-as-new is suggested, so that none is refused."""
PENDING_CHILDREN_MAX = 2_000
PENDING_EXTERNALS_MAX = 2_000
"""Signals to other workflows, and as many requests to cancel them."""
CHILD_RUNS_MAX = 10_000
"""Runs of a child's chain that are followed in search of its end."""
INBOX_ENTRIES_MAX = 10_000
"""Unread entries of one run; further signals are refused until it has caught up."""
HISTORY_EVENTS_SUGGEST = 4_096
HISTORY_BYTES_SUGGEST = 4 * 1024 * 1024
"""From here on continue-as-new is suggested; nothing is ever killed for its length."""
HEARTBEAT_THROTTLE_DEFAULT_MS = 30_000
HEARTBEAT_THROTTLE_MAX_MS = 60_000
HEARTBEAT_THROTTLE_SHARE = 0.8
"""Of the heartbeat time-out: a heartbeat that is sent so late is still in time."""
SHARED_HEARTBEATS_MAX = 1_000
"""Heartbeats of a process pool on their way to the worker; a newer one follows what is dropped."""
FINISHES_KEPT_MAX = 10_000
FINISHES_KEPT_BYTES_MAX = 64 * 1024 * 1024
"""Bounds of what a process can send again after a fail-over, beside its time."""
MEETINGS_MAX = 3
"""How often one delivery begins again because the attempt it met has moved on meanwhile."""
SILENT_HOLDERS_MAX = 1_000
"""Holders without a sign of life that one process remembers, while it asks them again."""
DEAD_DEADLINES_MAX = 100
"""Cancelled deadlines that may lie about before they are swept out."""
NAMES_SHOWN_MAX = 20
"""Names that an error lists before it says how many more there are."""
RETRY_INTERVAL_FACTOR = 100
"""The longest retry interval is this many initial ones when none is given."""
PUBLISHES_IN_FLIGHT_MAX = 1_000
"""Messages written and unconfirmed on one channel; more wait in the process, where they cost less.
Also what the client library searches when one confirm covers many."""
PUBLISHES_BYTES_IN_FLIGHT_MAX = 64 * 1024 * 1024
"""Their bodies: what a blocked RabbitMQ makes the process hold beside what waits."""
PUBLISHES_WAITING_MAX = 10_000
"""Messages that wait behind those; beyond, the outcome is unknown at once: RabbitMQ is blocked."""
PUBLISHES_SWEEP_MS = 1_000
"""How often publishes without an answer in time are looked for."""
PUBLISH_ROUTES_MAX = 1_000
"""Destinations whose publish frame is kept encoded."""
WRITER_BUSY_PAUSE_MS = 10
"""Before frames are offered again to a client library that has not written the last ones."""
DELIVERY_FRAMES_BUFFERED = 1_000
"""Frames of deliveries that one channel takes from the socket before it hands them over."""
AMQP_HEARTBEAT_S = 20
"""RabbitMQ drops a peer unheard of for two of these, the client after three: a machine that lost
its power gives its deliveries back within 40 s. A URL may say otherwise."""
CONSUMER_CHECK_MS = 30_000
"""How often a consumer is compared with what RabbitMQ knows of it."""
QUEUES_REMEMBERED_MAX = 1_000
"""Queues that a process declares again when RabbitMQ has lost them."""
STORE_CALLS_IN_FLIGHT_MAX = 1_000
"""Redis calls written and unanswered; more wait in the process, where they cost less."""
STORE_CALLS_WAITING_MAX = 10_000
"""Redis calls that wait behind those; beyond, the store cannot keep up and says so."""
LIST_PAGE = 500
"""Rows of a listing that are read at once."""
LIST_CHUNK = 16
"""Rows that a listing reads of one index at once; there are hundreds of indexes."""
LIST_SCAN_MAX = 5_000
"""Runs that one page of a listing looks at; what does not fit is passed over."""
