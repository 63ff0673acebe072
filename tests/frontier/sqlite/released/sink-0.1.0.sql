PRAGMA page_size=8192;
BEGIN TRANSACTION;
DROP TABLE IF EXISTS _crawlerd_account;
CREATE TABLE _crawlerd_account(
  source TEXT NOT NULL, account TEXT NOT NULL, identity TEXT NOT NULL, PRIMARY KEY (source, account)) WITHOUT ROWID;
INSERT INTO _crawlerd_account VALUES('stripe','a1','acct_7f4b00000000:test');
DROP TABLE IF EXISTS _crawlerd_run;
CREATE TABLE _crawlerd_run(
  id      INTEGER PRIMARY KEY,
  run     INTEGER NOT NULL,
  started REAL NOT NULL,
  UNIQUE (run, started)
);
INSERT INTO _crawlerd_run VALUES(1,1,1796047145.9810746);
DROP TABLE IF EXISTS _crawlerd_tally;
CREATE TABLE _crawlerd_tally(
  run        INTEGER NOT NULL,
  stream     TEXT NOT NULL,
  new        INTEGER NOT NULL DEFAULT 0,
  changed    INTEGER NOT NULL DEFAULT 0,
  unchanged  INTEGER NOT NULL DEFAULT 0,
  tombstoned INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, stream)
) WITHOUT ROWID;
INSERT INTO _crawlerd_tally VALUES(1,'coupons',5,0,0,0);
INSERT INTO _crawlerd_tally VALUES(1,'customers',8,0,0,0);
INSERT INTO _crawlerd_tally VALUES(1,'payouts',0,0,0,0);
INSERT INTO _crawlerd_tally VALUES(1,'prices',24,0,0,0);
INSERT INTO _crawlerd_tally VALUES(1,'products',8,0,0,0);
INSERT INTO _crawlerd_tally VALUES(1,'transfers',0,0,0,0);
DROP TABLE IF EXISTS stripe_coupons;
CREATE TABLE "stripe_coupons" (
  account     TEXT NOT NULL,
  id          TEXT NOT NULL,
  data        TEXT,
  imported_at TEXT NOT NULL,
  run         INTEGER NOT NULL,
  deleted_at  TEXT,
  change      TEXT,
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
);
INSERT INTO stripe_coupons VALUES('a1','f828e6e5fd2c','{"id":"f828e6e5fd2c","object":"coupon","created":1710374400,"metadata":{"account":"1","index":"4"},"amount_off":null,"currency":null,"duration":"once","livemode":false,"name":"25% off at account 1","percent_off":27.5,"times_redeemed":4,"valid":true}','2026-11-30T13:59:06.690Z',1,NULL,'new');
INSERT INTO stripe_coupons VALUES('a1','59f16d2c7de1','{"id":"59f16d2c7de1","object":"coupon","created":1710374400,"metadata":{"account":"1","index":"3"},"amount_off":null,"currency":null,"duration":"once","livemode":false,"name":"20% off at account 1","percent_off":22.0,"times_redeemed":3,"valid":true}','2026-11-30T13:59:06.690Z',1,NULL,'new');
INSERT INTO stripe_coupons VALUES('a1','bbb9f372fe96','{"id":"bbb9f372fe96","object":"coupon","created":1672531200,"metadata":{"account":"1","index":"2"},"amount_off":null,"currency":null,"duration":"once","livemode":false,"name":"15% off at account 1","percent_off":16.5,"times_redeemed":2,"valid":true}','2026-11-30T13:59:06.690Z',1,NULL,'new');
INSERT INTO stripe_coupons VALUES('a1','1d8279b97f4b','{"id":"1d8279b97f4b","object":"coupon","created":1672531200,"metadata":{"account":"1","index":"1"},"amount_off":null,"currency":null,"duration":"once","livemode":false,"name":"10% off at account 1","percent_off":11.0,"times_redeemed":1,"valid":true}','2026-11-30T13:59:06.690Z',1,NULL,'new');
INSERT INTO stripe_coupons VALUES('a1','7f4b00000000','{"id":"7f4b00000000","object":"coupon","created":1672531200,"metadata":{"account":"1","index":"0"},"amount_off":null,"currency":null,"duration":"once","livemode":false,"name":"5% off at account 1","percent_off":5.5,"times_redeemed":0,"valid":true}','2026-11-30T13:59:06.690Z',1,NULL,'new');
DROP TABLE IF EXISTS stripe_customers;
CREATE TABLE "stripe_customers" (
  account     TEXT NOT NULL,
  id          TEXT NOT NULL,
  data        TEXT,
  imported_at TEXT NOT NULL,
  run         INTEGER NOT NULL,
  deleted_at  TEXT,
  change      TEXT,
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
);
INSERT INTO stripe_customers VALUES('a1','cus_d2cf54127b0d','{"id":"cus_d2cf54127b0d","object":"customer","created":1719835200,"metadata":{"account":"1","index":"7"},"address":{"city":"Québec","country":"CA","line1":"8 High Street","line2":null,"postal_code":"55433","state":null},"email":"customer7@account1.example","name":"Chidi Świątek","phone":"+442000000007","balance":0,"currency":"eur","default_source":null,"delinquent":false,"description":"Customer 7 of account 1","discount":null,"invoice_prefix":"00000007","invoice_settings":{"custom_fields":null,"default_payment_method":null,"footer":null},"livemode":false,"next_invoice_sequence":3,"preferred_locales":["en","pl"],"shipping":null,"tax_exempt":"none","test_clock":null}','2026-11-30T13:59:06.605Z',1,NULL,'new');
INSERT INTO stripe_customers VALUES('a1','cus_3497da58fbc2','{"id":"cus_3497da58fbc2","object":"customer","created":1719835200,"metadata":{"account":"1","index":"6"},"address":{"city":"Reykjavík","country":"IS","line1":"7 High Street","line2":null,"postal_code":"47514","state":null},"email":"customer6@account1.example","name":"Jürgen Świątek","phone":"+442000000006","balance":0,"currency":"eur","default_source":null,"delinquent":false,"description":"Customer 6 of account 1","discount":null,"invoice_prefix":"00000006","invoice_settings":{"custom_fields":null,"default_payment_method":null,"footer":null},"livemode":false,"next_invoice_sequence":2,"preferred_locales":[],"shipping":null,"tax_exempt":"none","test_clock":null}','2026-11-30T13:59:06.605Z',1,NULL,'new');
INSERT INTO stripe_customers VALUES('a1','cus_9660609f7c77','{"id":"cus_9660609f7c77","object":"customer","created":1696183200,"metadata":{"account":"1","index":"5"},"address":{"city":"Lagos","country":"NG","line1":"6 High Street","line2":null,"postal_code":"39595","state":null},"email":"customer5@account1.example","name":"Noor O''Brien","phone":"+442000000005","balance":0,"currency":"eur","default_source":null,"delinquent":false,"description":"Customer 5 of account 1","discount":null,"invoice_prefix":"00000005","invoice_settings":{"custom_fields":null,"default_payment_method":null,"footer":null},"livemode":false,"next_invoice_sequence":1,"preferred_locales":["en","pl"],"shipping":null,"tax_exempt":"none","test_clock":null}','2026-11-30T13:59:06.605Z',1,NULL,'new');
INSERT INTO stripe_customers VALUES('a1','cus_f828e6e5fd2c','{"id":"cus_f828e6e5fd2c","object":"customer","created":1696183200,"metadata":{"account":"1","index":"4"},"address":{"city":"Zürich","country":"CH","line1":"5 High Street","line2":null,"postal_code":"31676","state":null},"email":"customer4@account1.example","name":"Mei O''Brien","phone":"+442000000004","balance":0,"currency":"eur","default_source":null,"delinquent":false,"description":"Customer 4 of account 1","discount":null,"invoice_prefix":"00000004","invoice_settings":{"custom_fields":null,"default_payment_method":null,"footer":null},"livemode":false,"next_invoice_sequence":5,"preferred_locales":[],"shipping":null,"tax_exempt":"none","test_clock":null}','2026-11-30T13:59:06.605Z',1,NULL,'new');
INSERT INTO stripe_customers VALUES('a1','cus_59f16d2c7de1','{"id":"cus_59f16d2c7de1","object":"customer","created":1696183200,"metadata":{"account":"1","index":"3"},"address":{"city":"Osaka","country":"JP","line1":"4 High Street","line2":null,"postal_code":"23757","state":null},"email":"customer3@account1.example","name":"Grace O''Brien","phone":"+442000000003","balance":0,"currency":"eur","default_source":null,"delinquent":false,"description":"Customer 3 of account 1","discount":null,"invoice_prefix":"00000003","invoice_settings":{"custom_fields":null,"default_payment_method":null,"footer":null},"livemode":false,"next_invoice_sequence":4,"preferred_locales":["en","pl"],"shipping":null,"tax_exempt":"none","test_clock":null}','2026-11-30T13:59:06.605Z',1,NULL,'new');
INSERT INTO stripe_customers VALUES('a1','cus_bbb9f372fe96','{"id":"cus_bbb9f372fe96","object":"customer","created":1672531200,"metadata":{"account":"1","index":"2"},"address":{"city":"São Paulo","country":"BR","line1":"3 High Street","line2":null,"postal_code":"15838","state":null},"email":"customer2@account1.example","name":"Łukasz Lovelace","phone":"+442000000002","balance":0,"currency":"eur","default_source":null,"delinquent":false,"description":"Customer 2 of account 1","discount":null,"invoice_prefix":"00000002","invoice_settings":{"custom_fields":null,"default_payment_method":null,"footer":null},"livemode":false,"next_invoice_sequence":3,"preferred_locales":[],"shipping":null,"tax_exempt":"none","test_clock":null}','2026-11-30T13:59:06.605Z',1,NULL,'new');
INSERT INTO stripe_customers VALUES('a1','cus_1d8279b97f4b','{"id":"cus_1d8279b97f4b","object":"customer","created":1672531200,"metadata":{"account":"1","index":"1"},"address":{"city":"Łódź","country":"PL","line1":"2 High Street","line2":null,"postal_code":"07919","state":null},"email":"customer1@account1.example","name":"Zoë Lovelace","phone":"+442000000001","balance":0,"currency":"eur","default_source":null,"delinquent":false,"description":"Customer 1 of account 1","discount":null,"invoice_prefix":"00000001","invoice_settings":{"custom_fields":null,"default_payment_method":null,"footer":null},"livemode":false,"next_invoice_sequence":2,"preferred_locales":["en","pl"],"shipping":null,"tax_exempt":"none","test_clock":null}','2026-11-30T13:59:06.605Z',1,NULL,'new');
INSERT INTO stripe_customers VALUES('a1','cus_7f4b00000000','{"id":"cus_7f4b00000000","object":"customer","created":1672531200,"metadata":{"account":"1","index":"0"},"address":{"city":"London","country":"GB","line1":"1 High Street","line2":null,"postal_code":"00000","state":null},"email":"customer0@account1.example","name":"Ada Lovelace","phone":"+442000000000","balance":-500,"currency":"eur","default_source":null,"delinquent":true,"description":"Customer 0 of account 1","discount":null,"invoice_prefix":"00000000","invoice_settings":{"custom_fields":null,"default_payment_method":null,"footer":null},"livemode":false,"next_invoice_sequence":1,"preferred_locales":[],"shipping":null,"tax_exempt":"none","test_clock":null}','2026-11-30T13:59:06.605Z',1,NULL,'new');
DROP TABLE IF EXISTS stripe_payouts;
CREATE TABLE "stripe_payouts" (
  account     TEXT NOT NULL,
  id          TEXT NOT NULL,
  data        TEXT,
  imported_at TEXT NOT NULL,
  run         INTEGER NOT NULL,
  deleted_at  TEXT,
  change      TEXT,
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
);
DROP TABLE IF EXISTS stripe_prices;
CREATE TABLE "stripe_prices" (
  account     TEXT NOT NULL,
  id          TEXT NOT NULL,
  data        TEXT,
  imported_at TEXT NOT NULL,
  run         INTEGER NOT NULL,
  deleted_at  TEXT,
  change      TEXT,
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
);
INSERT INTO stripe_prices VALUES('a1','price_b646efaa6fbd','{"id":"price_b646efaa6fbd","object":"price","created":1727719200,"metadata":{"account":"1","index":"23"},"active":false,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_d2cf54127b0d","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1351,"unit_amount_decimal":"1351"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_180f75f0f072','{"id":"price_180f75f0f072","object":"price","created":1727719200,"metadata":{"account":"1","index":"22"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_d2cf54127b0d","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1314,"unit_amount_decimal":"1314"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_79d7fc377127','{"id":"price_79d7fc377127","object":"price","created":1727719200,"metadata":{"account":"1","index":"21"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_d2cf54127b0d","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1277,"unit_amount_decimal":"1277"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_dba0827df1dc','{"id":"price_dba0827df1dc","object":"price","created":1719835200,"metadata":{"account":"1","index":"20"},"active":false,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_3497da58fbc2","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1240,"unit_amount_decimal":"1240"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_3d6908c47291','{"id":"price_3d6908c47291","object":"price","created":1719835200,"metadata":{"account":"1","index":"19"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_3497da58fbc2","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1203,"unit_amount_decimal":"1203"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_9f318f0af346','{"id":"price_9f318f0af346","object":"price","created":1719835200,"metadata":{"account":"1","index":"18"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_3497da58fbc2","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1166,"unit_amount_decimal":"1166"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_00fa155173fb','{"id":"price_00fa155173fb","object":"price","created":1711951200,"metadata":{"account":"1","index":"17"},"active":false,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_9660609f7c77","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1129,"unit_amount_decimal":"1129"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_62c29b97f4b0','{"id":"price_62c29b97f4b0","object":"price","created":1711951200,"metadata":{"account":"1","index":"16"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_9660609f7c77","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1092,"unit_amount_decimal":"1092"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_c48b21de7565','{"id":"price_c48b21de7565","object":"price","created":1711951200,"metadata":{"account":"1","index":"15"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_9660609f7c77","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1055,"unit_amount_decimal":"1055"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_2653a824f61a','{"id":"price_2653a824f61a","object":"price","created":1704067200,"metadata":{"account":"1","index":"14"},"active":false,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_f828e6e5fd2c","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":1018,"unit_amount_decimal":"1018"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_881c2e6b76cf','{"id":"price_881c2e6b76cf","object":"price","created":1704067200,"metadata":{"account":"1","index":"13"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_f828e6e5fd2c","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":981,"unit_amount_decimal":"981"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_e9e4b4b1f784','{"id":"price_e9e4b4b1f784","object":"price","created":1704067200,"metadata":{"account":"1","index":"12"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_f828e6e5fd2c","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":944,"unit_amount_decimal":"944"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_4bad3af87839','{"id":"price_4bad3af87839","object":"price","created":1696183200,"metadata":{"account":"1","index":"11"},"active":false,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_59f16d2c7de1","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":907,"unit_amount_decimal":"907"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_ad75c13ef8ee','{"id":"price_ad75c13ef8ee","object":"price","created":1696183200,"metadata":{"account":"1","index":"10"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_59f16d2c7de1","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":870,"unit_amount_decimal":"870"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_0f3e478579a3','{"id":"price_0f3e478579a3","object":"price","created":1696183200,"metadata":{"account":"1","index":"9"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_59f16d2c7de1","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":833,"unit_amount_decimal":"833"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_7106cdcbfa58','{"id":"price_7106cdcbfa58","object":"price","created":1688299200,"metadata":{"account":"1","index":"8"},"active":false,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_bbb9f372fe96","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":796,"unit_amount_decimal":"796"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_d2cf54127b0d','{"id":"price_d2cf54127b0d","object":"price","created":1688299200,"metadata":{"account":"1","index":"7"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_bbb9f372fe96","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":759,"unit_amount_decimal":"759"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_3497da58fbc2','{"id":"price_3497da58fbc2","object":"price","created":1688299200,"metadata":{"account":"1","index":"6"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_bbb9f372fe96","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":722,"unit_amount_decimal":"722"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_9660609f7c77','{"id":"price_9660609f7c77","object":"price","created":1680415200,"metadata":{"account":"1","index":"5"},"active":false,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_1d8279b97f4b","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":685,"unit_amount_decimal":"685"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_f828e6e5fd2c','{"id":"price_f828e6e5fd2c","object":"price","created":1680415200,"metadata":{"account":"1","index":"4"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_1d8279b97f4b","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":648,"unit_amount_decimal":"648"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_59f16d2c7de1','{"id":"price_59f16d2c7de1","object":"price","created":1680415200,"metadata":{"account":"1","index":"3"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_1d8279b97f4b","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":611,"unit_amount_decimal":"611"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_bbb9f372fe96','{"id":"price_bbb9f372fe96","object":"price","created":1672531200,"metadata":{"account":"1","index":"2"},"active":false,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_7f4b00000000","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":574,"unit_amount_decimal":"574"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_1d8279b97f4b','{"id":"price_1d8279b97f4b","object":"price","created":1672531200,"metadata":{"account":"1","index":"1"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_7f4b00000000","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":537,"unit_amount_decimal":"537"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_prices VALUES('a1','price_7f4b00000000','{"id":"price_7f4b00000000","object":"price","created":1672531200,"metadata":{"account":"1","index":"0"},"active":true,"billing_scheme":"per_unit","currency":"eur","livemode":false,"product":"prod_7f4b00000000","recurring":{"interval":"month","interval_count":1,"usage_type":"licensed"},"type":"recurring","unit_amount":500,"unit_amount_decimal":"500"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
DROP TABLE IF EXISTS stripe_products;
CREATE TABLE "stripe_products" (
  account     TEXT NOT NULL,
  id          TEXT NOT NULL,
  data        TEXT,
  imported_at TEXT NOT NULL,
  run         INTEGER NOT NULL,
  deleted_at  TEXT,
  change      TEXT,
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
);
INSERT INTO stripe_products VALUES('a1','prod_d2cf54127b0d','{"id":"prod_d2cf54127b0d","object":"product","created":1719835200,"metadata":{"account":"1","index":"7"},"active":false,"default_price":"price_79d7fc377127","description":null,"images":[],"livemode":false,"name":"Product 7","type":"service"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_products VALUES('a1','prod_3497da58fbc2','{"id":"prod_3497da58fbc2","object":"product","created":1719835200,"metadata":{"account":"1","index":"6"},"active":true,"default_price":"price_9f318f0af346","description":null,"images":[],"livemode":false,"name":"Product 6","type":"service"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_products VALUES('a1','prod_9660609f7c77','{"id":"prod_9660609f7c77","object":"product","created":1696183200,"metadata":{"account":"1","index":"5"},"active":true,"default_price":"price_c48b21de7565","description":null,"images":[],"livemode":false,"name":"Product 5","type":"service"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_products VALUES('a1','prod_f828e6e5fd2c','{"id":"prod_f828e6e5fd2c","object":"product","created":1696183200,"metadata":{"account":"1","index":"4"},"active":true,"default_price":"price_e9e4b4b1f784","description":null,"images":[],"livemode":false,"name":"Product 4","type":"service"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_products VALUES('a1','prod_59f16d2c7de1','{"id":"prod_59f16d2c7de1","object":"product","created":1696183200,"metadata":{"account":"1","index":"3"},"active":false,"default_price":"price_0f3e478579a3","description":null,"images":[],"livemode":false,"name":"Product 3","type":"service"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_products VALUES('a1','prod_bbb9f372fe96','{"id":"prod_bbb9f372fe96","object":"product","created":1672531200,"metadata":{"account":"1","index":"2"},"active":true,"default_price":"price_3497da58fbc2","description":null,"images":[],"livemode":false,"name":"Product 2","type":"service"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_products VALUES('a1','prod_1d8279b97f4b','{"id":"prod_1d8279b97f4b","object":"product","created":1672531200,"metadata":{"account":"1","index":"1"},"active":true,"default_price":"price_59f16d2c7de1","description":null,"images":[],"livemode":false,"name":"Product 1","type":"service"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
INSERT INTO stripe_products VALUES('a1','prod_7f4b00000000','{"id":"prod_7f4b00000000","object":"product","created":1672531200,"metadata":{"account":"1","index":"0"},"active":true,"default_price":"price_7f4b00000000","description":null,"images":[],"livemode":false,"name":"Product 0","type":"service"}','2026-11-30T13:59:06.733Z',1,NULL,'new');
DROP TABLE IF EXISTS stripe_transfers;
CREATE TABLE "stripe_transfers" (
  account     TEXT NOT NULL,
  id          TEXT NOT NULL,
  data        TEXT,
  imported_at TEXT NOT NULL,
  run         INTEGER NOT NULL,
  deleted_at  TEXT,
  change      TEXT,
  PRIMARY KEY (account, id),
  CHECK (data IS NOT NULL OR deleted_at IS NOT NULL)
);
DROP VIEW IF EXISTS stripe_customers_view;
CREATE VIEW "stripe_customers_view" AS
SELECT account, id, CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.address') END AS "address", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.balance') END AS "balance", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.created') END AS "created", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.currency') END AS "currency", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.default_source') END AS "default_source", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.delinquent') END AS "delinquent", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.description') END AS "description", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.discount') END AS "discount", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.email') END AS "email", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.id') END AS "id_", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.invoice_prefix') END AS "invoice_prefix", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.invoice_settings') END AS "invoice_settings", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.livemode') END AS "livemode", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.metadata') END AS "metadata", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.name') END AS "name", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.next_invoice_sequence') END AS "next_invoice_sequence", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.object') END AS "object", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.phone') END AS "phone", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.preferred_locales') END AS "preferred_locales", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.shipping') END AS "shipping", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.tax_exempt') END AS "tax_exempt", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.test_clock') END AS "test_clock", imported_at, run, deleted_at FROM "stripe_customers";
DROP VIEW IF EXISTS stripe_coupons_view;
CREATE VIEW "stripe_coupons_view" AS
SELECT account, id, CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.amount_off') END AS "amount_off", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.created') END AS "created", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.currency') END AS "currency", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.duration') END AS "duration", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.id') END AS "id_", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.livemode') END AS "livemode", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.metadata') END AS "metadata", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.name') END AS "name", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.object') END AS "object", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.percent_off') END AS "percent_off", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.times_redeemed') END AS "times_redeemed", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.valid') END AS "valid", imported_at, run, deleted_at FROM "stripe_coupons";
DROP VIEW IF EXISTS stripe_prices_view;
CREATE VIEW "stripe_prices_view" AS
SELECT account, id, CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.active') END AS "active", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.billing_scheme') END AS "billing_scheme", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.created') END AS "created", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.currency') END AS "currency", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.id') END AS "id_", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.livemode') END AS "livemode", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.metadata') END AS "metadata", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.object') END AS "object", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.product') END AS "product", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.recurring') END AS "recurring", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.type') END AS "type", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.unit_amount') END AS "unit_amount", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.unit_amount_decimal') END AS "unit_amount_decimal", imported_at, run, deleted_at FROM "stripe_prices";
DROP VIEW IF EXISTS stripe_products_view;
CREATE VIEW "stripe_products_view" AS
SELECT account, id, CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.active') END AS "active", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.created') END AS "created", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.default_price') END AS "default_price", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.description') END AS "description", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.id') END AS "id_", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.images') END AS "images", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.livemode') END AS "livemode", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.metadata') END AS "metadata", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.name') END AS "name", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.object') END AS "object", CASE typeof(data) WHEN 'text' THEN json_extract(data, '$.type') END AS "type", imported_at, run, deleted_at FROM "stripe_products";
COMMIT TRANSACTION;
