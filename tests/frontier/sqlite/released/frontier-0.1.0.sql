PRAGMA page_size=4096;
BEGIN TRANSACTION;
DROP TABLE IF EXISTS account;
CREATE TABLE account(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    identity TEXT,                                     -- who its credentials belong to, as the source's guard saw it
    paused TEXT                                        -- why nothing of it is leased
) STRICT;
INSERT INTO account VALUES(1,'a1','stripe','acct_7f4b00000000:test',NULL);
DROP TABLE IF EXISTS borrowed;
CREATE TABLE borrowed(                                 -- accounts that a run has had tasks for beside its own
    run INTEGER NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (run, account)
) STRICT, WITHOUT ROWID;
DROP TABLE IF EXISTS bucket;
CREATE TABLE bucket(
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    name TEXT NOT NULL,
    ready INTEGER NOT NULL DEFAULT 0 CHECK (ready >= 0),
    blocked_until REAL NOT NULL DEFAULT 0,             -- Unix seconds; survives a restart, as Retry-After must
    UNIQUE (account, name)
) STRICT;
INSERT INTO bucket VALUES(1,1,'events',1,0.0);
INSERT INTO bucket VALUES(2,1,'customers',0,0.0);
INSERT INTO bucket VALUES(3,1,'invoices',1,0.0);
INSERT INTO bucket VALUES(4,1,'charges',1,0.0);
INSERT INTO bucket VALUES(5,1,'payment_intents',1,0.0);
INSERT INTO bucket VALUES(6,1,'balance_transactions',1,0.0);
INSERT INTO bucket VALUES(7,1,'refunds',1,0.0);
INSERT INTO bucket VALUES(8,1,'disputes',1,0.0);
INSERT INTO bucket VALUES(9,1,'subscriptions',1,0.0);
INSERT INTO bucket VALUES(10,1,'credit_notes',1,0.0);
INSERT INTO bucket VALUES(11,1,'products',0,0.0);
INSERT INTO bucket VALUES(12,1,'prices',0,0.0);
INSERT INTO bucket VALUES(13,1,'coupons',0,0.0);
INSERT INTO bucket VALUES(14,1,'payouts',0,0.0);
INSERT INTO bucket VALUES(15,1,'transfers',0,0.0);
INSERT INTO bucket VALUES(16,1,'payment_methods',8,0.0);
CREATE INDEX bucket_ready ON bucket(blocked_until, id) WHERE ready > 0;
DROP TABLE IF EXISTS cursor;
CREATE TABLE cursor(
    import TEXT NOT NULL,
    stream TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (import, stream)
) STRICT, WITHOUT ROWID;
DROP TABLE IF EXISTS dead;
CREATE TABLE dead(
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    denied INTEGER NOT NULL,
    stream TEXT NOT NULL,
    error TEXT NOT NULL,
    payload TEXT NOT NULL,
    at REAL NOT NULL
, grp INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX dead_group ON dead(grp) WHERE grp > 0;
CREATE INDEX dead_run ON dead(run, stream);
DROP TABLE IF EXISTS delayed;
CREATE TABLE delayed(
    due_at REAL NOT NULL,
    seq INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    error TEXT NOT NULL,
    payload TEXT NOT NULL, grp INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (due_at, seq)
) STRICT, WITHOUT ROWID;
DROP TABLE IF EXISTS gather;
CREATE TABLE gather(
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    parent INTEGER NOT NULL,                           -- the group that it is inside of, 0 for none
    open INTEGER NOT NULL DEFAULT 0 CHECK (open >= 0),
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    if_dead TEXT NOT NULL CHECK (if_dead IN ('run','fail','skip')),
    bucket INTEGER NOT NULL,                           -- of the task that waits, as the following
    priority INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    payload TEXT NOT NULL
) STRICT;
INSERT INTO gather VALUES(2,1,0,10,0,'run',1,5,2,'{"noted":1796047145.9810746,"streams":["customers","payment_methods","charges","payment_intents","invoices","invoice_lines","subscriptions","products","prices","refunds","disputes","balance_transactions","payouts","transfers","coupons","credit_notes","events"],"since":1719835200,"newest":"evt_d2cf54127b0d","marks":true}');
INSERT INTO gather VALUES(4,1,2,8,0,'skip',2,5,4,'{"streams":["customers","payment_methods"]}');
INSERT INTO gather VALUES(5,1,2,1,0,'skip',3,5,5,'{"streams":["invoices","invoice_lines"]}');
INSERT INTO gather VALUES(6,1,2,1,0,'skip',4,5,6,'{"streams":["charges"]}');
INSERT INTO gather VALUES(7,1,2,1,0,'skip',5,5,7,'{"streams":["payment_intents"]}');
INSERT INTO gather VALUES(8,1,2,1,0,'skip',6,5,8,'{"streams":["balance_transactions"]}');
INSERT INTO gather VALUES(9,1,2,1,0,'skip',7,5,9,'{"streams":["refunds"]}');
INSERT INTO gather VALUES(10,1,2,1,0,'skip',8,5,10,'{"streams":["disputes"]}');
INSERT INTO gather VALUES(11,1,2,1,0,'skip',9,5,11,'{"streams":["subscriptions"]}');
INSERT INTO gather VALUES(18,1,2,1,0,'skip',1,5,18,'{"streams":["events"]}');
CREATE INDEX gather_parent ON gather(parent) WHERE parent > 0;
DROP TABLE IF EXISTS kind;
CREATE TABLE kind(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO kind VALUES(1,'stripe.begin');
INSERT INTO kind VALUES(2,'stripe.catch_up');
INSERT INTO kind VALUES(3,'stripe.load');
INSERT INTO kind VALUES(4,'stripe.sweep.customers');
INSERT INTO kind VALUES(5,'stripe.sweep.invoices');
INSERT INTO kind VALUES(6,'stripe.sweep.charges');
INSERT INTO kind VALUES(7,'stripe.sweep.payment_intents');
INSERT INTO kind VALUES(8,'stripe.sweep.balance_transactions');
INSERT INTO kind VALUES(9,'stripe.sweep.refunds');
INSERT INTO kind VALUES(10,'stripe.sweep.disputes');
INSERT INTO kind VALUES(11,'stripe.sweep.subscriptions');
INSERT INTO kind VALUES(12,'stripe.sweep.credit_notes');
INSERT INTO kind VALUES(13,'stripe.sweep.products');
INSERT INTO kind VALUES(14,'stripe.sweep.prices');
INSERT INTO kind VALUES(15,'stripe.sweep.coupons');
INSERT INTO kind VALUES(16,'stripe.sweep.payouts');
INSERT INTO kind VALUES(17,'stripe.sweep.transfers');
INSERT INTO kind VALUES(18,'stripe.sweep.events');
INSERT INTO kind VALUES(19,'stripe.customers');
INSERT INTO kind VALUES(20,'stripe.invoices');
INSERT INTO kind VALUES(21,'stripe.charges');
INSERT INTO kind VALUES(22,'stripe.payment_intents');
INSERT INTO kind VALUES(23,'stripe.balance_transactions');
INSERT INTO kind VALUES(24,'stripe.refunds');
INSERT INTO kind VALUES(25,'stripe.disputes');
INSERT INTO kind VALUES(26,'stripe.subscriptions');
INSERT INTO kind VALUES(27,'stripe.credit_notes');
INSERT INTO kind VALUES(28,'stripe.products');
INSERT INTO kind VALUES(29,'stripe.prices');
INSERT INTO kind VALUES(30,'stripe.coupons');
INSERT INTO kind VALUES(31,'stripe.payouts');
INSERT INTO kind VALUES(32,'stripe.transfers');
INSERT INTO kind VALUES(33,'stripe.events');
INSERT INTO kind VALUES(34,'stripe.payment_methods');
DROP TABLE IF EXISTS learned;
CREATE TABLE learned(                                  -- limits that were found by being throttled
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
DROP TABLE IF EXISTS next_seq;
CREATE TABLE next_seq(value INTEGER NOT NULL) STRICT;
INSERT INTO next_seq VALUES(42);
DROP TABLE IF EXISTS quota;
CREATE TABLE quota(                                    -- starts charged to windows of a minute and longer
    key TEXT NOT NULL,
    at REAL NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (key, at)
) STRICT, WITHOUT ROWID;
DROP TABLE IF EXISTS ready;
CREATE TABLE ready(
    bucket INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    payload TEXT NOT NULL, grp INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, priority, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO ready VALUES(1,3,33,1,33,0,0,'{"streams":["events"],"gte":null,"lte":null,"starting_after":null,"line":[0,0,1],"restarts":0}',18);
INSERT INTO ready VALUES(3,3,20,1,20,0,0,'{"streams":["invoices","invoice_lines"],"gte":null,"lte":null,"starting_after":null,"line":[0,0,1],"restarts":0}',5);
INSERT INTO ready VALUES(4,3,21,1,21,0,0,'{"streams":["charges"],"gte":null,"lte":null,"starting_after":null,"line":[0,0,1],"restarts":0}',6);
INSERT INTO ready VALUES(5,3,22,1,22,0,0,'{"streams":["payment_intents"],"gte":null,"lte":null,"starting_after":null,"line":[0,0,1],"restarts":0}',7);
INSERT INTO ready VALUES(6,3,23,1,23,0,0,'{"streams":["balance_transactions"],"gte":null,"lte":null,"starting_after":null,"line":[0,0,1],"restarts":0}',8);
INSERT INTO ready VALUES(7,3,24,1,24,0,0,'{"streams":["refunds"],"gte":null,"lte":null,"starting_after":null,"line":[0,0,1],"restarts":0}',9);
INSERT INTO ready VALUES(8,3,25,1,25,0,0,'{"streams":["disputes"],"gte":null,"lte":null,"starting_after":null,"line":[0,0,1],"restarts":0}',10);
INSERT INTO ready VALUES(9,3,26,1,26,0,0,'{"streams":["subscriptions"],"gte":null,"lte":null,"starting_after":null,"line":[0,0,1],"restarts":0}',11);
INSERT INTO ready VALUES(10,5,12,1,12,0,0,'{"streams":["credit_notes"]}',2);
INSERT INTO ready VALUES(16,5,34,1,34,0,0,'{"parent":"cus_d2cf54127b0d","starting_after":null,"restarts":0,"again":false}',4);
INSERT INTO ready VALUES(16,5,35,1,34,0,0,'{"parent":"cus_3497da58fbc2","starting_after":null,"restarts":0,"again":false}',4);
INSERT INTO ready VALUES(16,5,36,1,34,0,0,'{"parent":"cus_9660609f7c77","starting_after":null,"restarts":0,"again":false}',4);
INSERT INTO ready VALUES(16,5,37,1,34,0,0,'{"parent":"cus_f828e6e5fd2c","starting_after":null,"restarts":0,"again":false}',4);
INSERT INTO ready VALUES(16,5,38,1,34,0,0,'{"parent":"cus_59f16d2c7de1","starting_after":null,"restarts":0,"again":false}',4);
INSERT INTO ready VALUES(16,5,39,1,34,0,0,'{"parent":"cus_bbb9f372fe96","starting_after":null,"restarts":0,"again":false}',4);
INSERT INTO ready VALUES(16,5,40,1,34,0,0,'{"parent":"cus_1d8279b97f4b","starting_after":null,"restarts":0,"again":false}',4);
INSERT INTO ready VALUES(16,5,41,1,34,0,0,'{"parent":"cus_7f4b00000000","starting_after":null,"restarts":0,"again":false}',4);
DROP TABLE IF EXISTS run;
CREATE TABLE run(
    id INTEGER PRIMARY KEY,
    import TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account,
    "full" INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running','completed','completed with dead letters','failed','cancelled')),
    started_at REAL NOT NULL,
    ended_at REAL,
    open INTEGER NOT NULL DEFAULT 0 CHECK (open >= 0),
    delayed INTEGER NOT NULL DEFAULT 0 CHECK (delayed BETWEEN 0 AND open),
    done INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    retried INTEGER NOT NULL DEFAULT 0,
    throttled INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0
, waiting INTEGER NOT NULL DEFAULT 0 CHECK (waiting BETWEEN 0 AND open - delayed)) STRICT;
INSERT INTO run VALUES(1,'a1',1,0,'running',1796047145.9810746,NULL,27,0,14,0,0,0,45,10);
CREATE INDEX run_dead ON run(id) WHERE dead > 0;
CREATE INDEX run_import ON run(import, id);
CREATE INDEX run_running ON run(id) WHERE state = 'running';
DROP TABLE IF EXISTS seen;
CREATE TABLE seen(
    run INTEGER NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
INSERT INTO seen VALUES(1,X'05C6B33032DA4E88307A2BAB09C12322');
INSERT INTO seen VALUES(1,X'06DA89C1BFBD9B2C4ACA575C551D0D0C');
INSERT INTO seen VALUES(1,X'0986CBD9CAB545CCB24082828B47643A');
INSERT INTO seen VALUES(1,X'152A1E704BD6E2ADB7182295B7222AF5');
INSERT INTO seen VALUES(1,X'1662A117418647A67C0850E37B10D94D');
INSERT INTO seen VALUES(1,X'29AB150010CE5D222DB6C05D1AA5958B');
INSERT INTO seen VALUES(1,X'3D02DF49FAB400044195BEBD3987EC1B');
INSERT INTO seen VALUES(1,X'541097468CF39CFC9A5E0C1B6DD585E7');
INSERT INTO seen VALUES(1,X'6270E40C03DCD645612D9144FD4F2645');
INSERT INTO seen VALUES(1,X'723C6FFC60270D8FF1506AED877424BE');
INSERT INTO seen VALUES(1,X'7B961AF10D35EADC473CF713DDE721F6');
INSERT INTO seen VALUES(1,X'7ED894158ACB7E29A461362031A680E9');
INSERT INTO seen VALUES(1,X'88353C52990B5DA23BA32243318D62E8');
INSERT INTO seen VALUES(1,X'9386667347DE102AA2C6A54343A602A3');
INSERT INTO seen VALUES(1,X'95738B4C00DEF48DBBB0DD5118EA25A8');
INSERT INTO seen VALUES(1,X'A62B46AEAD5D6AADC08F228FC12182DE');
INSERT INTO seen VALUES(1,X'A9EE667102AA3BEC88419EEAD70B1FC1');
INSERT INTO seen VALUES(1,X'B095C7FE7EC5DD1EEB6472F6A9A8DE74');
INSERT INTO seen VALUES(1,X'B7909D56B188CA77628CCA7751427C9B');
INSERT INTO seen VALUES(1,X'C08362A31EA225BC4CB7D5FCF5F1F5C6');
INSERT INTO seen VALUES(1,X'D924B4824BF1EFB317EA3B2277F7A725');
INSERT INTO seen VALUES(1,X'DAD41813F6AFB83C87AD6D1E457FFD8A');
INSERT INTO seen VALUES(1,X'DC80A04FFFBED57D9843B24076DCB2A8');
DROP TABLE IF EXISTS staged;
CREATE TABLE staged(
    run INTEGER NOT NULL,
    stream TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, stream)
) STRICT, WITHOUT ROWID;
INSERT INTO staged VALUES(1,'balance_transactions','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'charges','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'coupons','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'credit_notes','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'customers','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'disputes','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'events','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'invoice_lines','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'invoices','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'payment_intents','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'payment_methods','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'payouts','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'prices','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'products','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'refunds','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'subscriptions','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
INSERT INTO staged VALUES(1,'transfers','{"event":1719835200,"noted":1796047145.9810746,"version":"2025-09-30.clover"}');
DROP TABLE IF EXISTS tally;
CREATE TABLE tally(                                    -- the report of a run, by stream
    run INTEGER NOT NULL REFERENCES run,
    stream TEXT NOT NULL,
    records INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    skip_reason TEXT, seen INTEGER NOT NULL DEFAULT 0, new INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0, tombstoned INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, stream)
) STRICT, WITHOUT ROWID;
INSERT INTO tally VALUES(1,'coupons',5,0,NULL,5,5,0,0,0);
INSERT INTO tally VALUES(1,'customers',8,0,NULL,8,8,0,0,0);
INSERT INTO tally VALUES(1,'payouts',0,0,NULL,0,0,0,0,0);
INSERT INTO tally VALUES(1,'prices',24,0,NULL,24,24,0,0,0);
INSERT INTO tally VALUES(1,'products',8,0,NULL,8,8,0,0,0);
INSERT INTO tally VALUES(1,'transfers',0,0,NULL,0,0,0,0,0);
pragma user_version=4;
COMMIT TRANSACTION;
