PRAGMA application_id=1650553955;
PRAGMA user_version=1;
BEGIN TRANSACTION;
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	step TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	launch_id INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	max_tokens INTEGER NOT NULL, 
	input_estimate INTEGER NOT NULL, 
	worst_pico BIGINT NOT NULL, 
	sent_at BIGINT NOT NULL, 
	closed_at BIGINT, 
	outcome TEXT, 
	cost_pico BIGINT DEFAULT '0' NOT NULL, 
	unconfirmed_pico BIGINT DEFAULT '0' NOT NULL, 
	uncached_input INTEGER DEFAULT '0' NOT NULL, 
	cache_read INTEGER DEFAULT '0' NOT NULL, 
	cache_write_5m INTEGER DEFAULT '0' NOT NULL, 
	cache_write_1h INTEGER DEFAULT '0' NOT NULL, 
	output INTEGER DEFAULT '0' NOT NULL, 
	reasoning INTEGER DEFAULT '0' NOT NULL, 
	latency_ms INTEGER, 
	resolved_model TEXT, 
	status INTEGER, 
	request_id TEXT, 
	detail TEXT, 
	answer TEXT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(item_id) REFERENCES items (id)
);
INSERT INTO "attempts" VALUES(1,1,'main',1,1,1,'openai/gpt-5.4-mini',64,88,1501000000,1795613458822,1795613458836,'succeeded',60000000,0,52,0,0,0,4,0,12,'gpt-5.4-mini',200,'req_000000000000000000000003',NULL,NULL);
INSERT INTO "attempts" VALUES(2,2,'main',1,1,1,'openai/gpt-5.4-mini',64,88,1501000000,1795613458822,1795613458834,'refused',64000000,0,52,0,0,0,6,0,9,'gpt-5.4-mini',200,'req_000000000000000000000000','the model refused','I''m sorry, I cannot help with that request.');
INSERT INTO "attempts" VALUES(3,3,'main',1,1,1,'openai/gpt-5.4-mini',64,88,1501000000,1795613458822,1795613458834,'truncated',180000000,0,52,0,0,0,64,0,9,'gpt-5.4-mini',200,'req_000000000000000000000001','cut off at max_tokens or at the end of the context window','{"mood":');
INSERT INTO "attempts" VALUES(4,4,'main',1,1,1,'openai/gpt-5.4-mini',64,88,1501000000,1795613458822,1795613458835,'succeeded',60000000,0,52,0,0,0,4,0,10,'gpt-5.4-mini',200,'req_000000000000000000000002',NULL,NULL);
INSERT INTO "attempts" VALUES(5,5,'main',1,1,1,'openai/gpt-5.4-mini',64,88,1501000000,1795613458836,1795613458842,'succeeded',60000000,0,52,0,0,0,4,0,2,'gpt-5.4-mini',200,'req_000000000000000000000004',NULL,NULL);
INSERT INTO "attempts" VALUES(6,3,'main',2,1,1,'openai/gpt-5.4-mini',128,88,1630000000,1795613458838,1795613458843,'succeeded',60000000,0,52,0,0,0,4,0,2,'gpt-5.4-mini',200,'req_000000000000000000000005',NULL,NULL);
CREATE TABLE bad_rows (
	place TEXT NOT NULL, 
	problem TEXT NOT NULL, 
	PRIMARY KEY (place)
);
CREATE TABLE item_steps (
	id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	step TEXT NOT NULL, 
	state TEXT NOT NULL, 
	fingerprint BLOB, 
	outcome TEXT, 
	error TEXT, 
	result TEXT, 
	model TEXT, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	tried INTEGER DEFAULT '0' NOT NULL, 
	cost_pico BIGINT DEFAULT '0' NOT NULL, 
	run_id INTEGER, 
	settled_at BIGINT, 
	PRIMARY KEY (id), 
	UNIQUE (item_id, step), 
	FOREIGN KEY(item_id) REFERENCES items (id)
);
INSERT INTO "item_steps" VALUES(1,1,'main','succeeded',X'A33A62797B4BE4C7AB14D3EC2EB63D51F7BDBA8CF64C0B24','succeeded',NULL,'{"mood":"good"}','gpt-5.4-mini',1,1,60000000,1,1795613458836);
INSERT INTO "item_steps" VALUES(2,2,'main','failed',X'C9E2CC51BDC710EEEF4BCBD3D34AD342F7BDBA8CF64C0B24','refused','the model refused',NULL,'gpt-5.4-mini',1,1,64000000,1,1795613458834);
INSERT INTO "item_steps" VALUES(3,3,'main','succeeded',X'BA1C79458990FD5ACE6F2E65ECBB52D2F7BDBA8CF64C0B24','succeeded',NULL,'{"mood":"good"}','gpt-5.4-mini',2,2,240000000,1,1795613458843);
INSERT INTO "item_steps" VALUES(4,4,'main','succeeded',X'5D721AA3B5AD011BAFFF88D277B65DC0F7BDBA8CF64C0B24','succeeded',NULL,'{"mood":"good"}','gpt-5.4-mini',1,1,60000000,1,1795613458835);
INSERT INTO "item_steps" VALUES(5,5,'main','succeeded',X'8AEA81E5E71F5B57E9EFC6A7BFD22A89F7BDBA8CF64C0B24','succeeded',NULL,'{"mood":"bad"}','gpt-5.4-mini',1,1,60000000,1,1795613458842);
CREATE TABLE items (
	id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	selected INTEGER NOT NULL, 
	"row" TEXT, 
	PRIMARY KEY (id), 
	UNIQUE ("key")
);
INSERT INTO "items" VALUES(1,'k0',0,1,'{"id":"k0","text":"text number 0 of many"}');
INSERT INTO "items" VALUES(2,'k1',1,1,'{"id":"k1","text":"text number 1 of many"}');
INSERT INTO "items" VALUES(3,'k2',2,1,'{"id":"k2","text":"text number 2 of many"}');
INSERT INTO "items" VALUES(4,'k3',3,1,'{"id":"k3","text":"text number 3 of many"}');
INSERT INTO "items" VALUES(5,'k4',4,1,'{"id":"k4","text":"text number 4 of many"}');
CREATE TABLE launches (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	host TEXT NOT NULL, 
	boot TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	exit_code INTEGER, 
	reason TEXT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "launches" VALUES(1,1,'here','boot',14850,1795613458812,1795613458845,1,'finished');
CREATE TABLE meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('store','6ebb5a152fade626');
INSERT INTO "meta" VALUES('group','9');
INSERT INTO "meta" VALUES('job_file','job.yaml');
INSERT INTO "meta" VALUES('scan','{"stamp":"7882d4f553fe71e4f1fc45d7219b9148","first":true,"before":null,"keep":false,"records":5,"done":true}');
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT, 
	spec TEXT NOT NULL, 
	budget_pico BIGINT, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	cost_pico BIGINT DEFAULT '0' NOT NULL, 
	unconfirmed_pico BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES(1,1795613458810,1795613458845,'{"prompt":{"system":null,"messages":[],"user":"Classify: {{ item.text }}","vars":{}},"model":{"name":"openai/gpt-5.4-mini","address":"loopback"},"parameters":{"max_tokens":64,"stop":[]},"schema":{"type":"object","properties":{"mood":{"type":"string","enum":["good","bad"]}},"required":["mood"],"additionalProperties":false},"policies":{"on_truncated":{"grow":4096},"on_invalid":{"repair":2,"then":"fail"},"on_refused":"fail","on_unknown":"retry"}}',1000000000000,6,484000000,0);
CREATE INDEX ix_items_unselected ON items (id) WHERE selected = 0;
CREATE INDEX ix_items_position ON items (position);
CREATE INDEX ix_item_steps_state ON item_steps (state, step, item_id);
CREATE INDEX ix_attempts_item ON attempts (item_id, step);
CREATE INDEX ix_attempts_open ON attempts (item_id) WHERE outcome IS NULL;
COMMIT;
