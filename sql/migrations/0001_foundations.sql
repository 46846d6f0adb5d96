-- Desired state and actions.
--
-- Every table starts with tenant_id, and what belongs to a device goes on
-- with device_id, so that the tables can be distributed by either. Times are
-- timestamptz, durations are seconds, digests of secrets are SHA-256 bytes,
-- hashes of files are lower-case hex.

SET LOCAL ROLE goosebit_owner;

CREATE SCHEMA goosebit;
COMMENT ON SCHEMA goosebit IS
    'tables and inner functions; granted to nobody';


CREATE TABLE goosebit.migration (
    name        text PRIMARY KEY,
    sha256      text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE goosebit.migration IS
    'which files of sql/ this database has; written by gbctl db migrate';
COMMENT ON COLUMN goosebit.migration.name IS
    'file name below sql/migrations, or "functions" for the reloaded rest';
COMMENT ON COLUMN goosebit.migration.sha256 IS
    'SHA-256 of the file as it was applied, lower-case hex';


CREATE TABLE goosebit.tenant (
    id              int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL
                    CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    name_key        text COLLATE "C" NOT NULL UNIQUE
                    GENERATED ALWAYS AS (lower(name COLLATE "C")) STORED,
    poll_time       int CHECK (poll_time BETWEEN 1 AND 86399),
    auth            text CHECK (auth IN ('off', 'strict', 'lax', 'setup',
                                         'external')),
    gateway_token   bytea CHECK (octet_length(gateway_token) = 32),
    gateway_prefix  text COLLATE "C",
    max_updates     int CHECK (max_updates >= 0),
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE goosebit.tenant IS
    'tenants; what is set here beats goosebit.yaml and the environment';
COMMENT ON COLUMN goosebit.tenant.name IS
    'as written in paths and links; matched without regard to ASCII case';
COMMENT ON COLUMN goosebit.tenant.name_key IS 'name in lower case';
COMMENT ON COLUMN goosebit.tenant.poll_time IS
    'seconds between polls; NULL: the caller''s';
COMMENT ON COLUMN goosebit.tenant.auth IS
    'how devices prove who they are; NULL: the caller''s';
COMMENT ON COLUMN goosebit.tenant.gateway_token IS
    'SHA-256 of the GatewayToken; NULL: none is accepted';
COMMENT ON COLUMN goosebit.tenant.gateway_prefix IS
    'the GatewayToken speaks only for controller ids that begin so';
COMMENT ON COLUMN goosebit.tenant.max_updates IS
    'most open actions at a time; NULL: the caller''s';

INSERT INTO goosebit.tenant (name) VALUES ('DEFAULT');


CREATE TABLE goosebit.software (
    tenant_id    int NOT NULL REFERENCES goosebit.tenant,
    id           int GENERATED ALWAYS AS IDENTITY,
    name         text NOT NULL,
    version      text NOT NULL,
    version_key  text COLLATE "C" NOT NULL,
    format       text NOT NULL CHECK (format IN ('swu', 'rauc')),
    filename     text NOT NULL,
    size         bigint NOT NULL CHECK (size >= 0),
    sha256       text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    sha1         text NOT NULL CHECK (sha1 ~ '^[0-9a-f]{40}$'),
    md5          text NOT NULL CHECK (md5 ~ '^[0-9a-f]{32}$'),
    uri          text,
    min_version  text,
    note         text,
    facts        jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX software_version ON goosebit.software (tenant_id, version);
CREATE INDEX software_file ON goosebit.software (tenant_id, sha256);
COMMENT ON TABLE goosebit.software IS 'images a device can be brought to';
COMMENT ON COLUMN goosebit.software.version_key IS
    'goosebit.version_key(version): sorts by bytes as versions do';
COMMENT ON COLUMN goosebit.software.filename IS
    'last part of the stored path and of the download link';
COMMENT ON COLUMN goosebit.software.uri IS
    'where the bytes are when not in the store: the device gets this URL';
COMMENT ON COLUMN goosebit.software.min_version IS
    'devices below this version don''t get it (version_too_old)';
COMMENT ON COLUMN goosebit.software.facts IS
    'what the parser learnt besides: signature, bundle format';


CREATE TABLE goosebit.software_hardware (
    tenant_id    int NOT NULL,
    software_id  int NOT NULL,
    model        text NOT NULL,
    revision     text NOT NULL,
    pattern      text GENERATED ALWAYS AS (
                     CASE WHEN left(revision, 4) = '#RE:'
                          THEN '(?e)' || substr(revision, 5) END) STORED,
    version_key  text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, software_id, model, revision),
    FOREIGN KEY (tenant_id, software_id)
        REFERENCES goosebit.software ON DELETE CASCADE,
    -- Evaluates the pattern: one that does not compile is refused here
    -- (2201B), so that no poll ever meets it.
    CONSTRAINT software_hardware_pattern
        CHECK (pattern IS NULL OR ('' ~ pattern) IS NOT NULL),
    CHECK (octet_length(revision) <= 1024)
);
CREATE INDEX software_hardware_latest ON goosebit.software_hardware
    (tenant_id, model, version_key DESC, software_id DESC)
    INCLUDE (revision, pattern);
COMMENT ON TABLE goosebit.software_hardware IS
    'what hardware an image fits; an image without rows fits none';
COMMENT ON COLUMN goosebit.software_hardware.revision IS
    'exact, or #RE: and a POSIX extended expression found anywhere, as SWUpdate';
COMMENT ON COLUMN goosebit.software_hardware.pattern IS
    'the expression of a #RE: revision for ~, else NULL';
COMMENT ON COLUMN goosebit.software_hardware.version_key IS
    'copy of software.version_key: the highest fitting one is an index walk';


CREATE TABLE goosebit.device (
    tenant_id             int NOT NULL REFERENCES goosebit.tenant,
    id                    bigint GENERATED ALWAYS AS IDENTITY,
    controller_id         text COLLATE "C" NOT NULL
                          CHECK (octet_length(controller_id)
                                 BETWEEN 1 AND 255),
    name                  text,
    hw_model              text NOT NULL DEFAULT 'default',
    hw_revision           text NOT NULL DEFAULT 'default',
    sw_version            text,
    feed                  text NOT NULL DEFAULT 'default',
    mode                  text NOT NULL DEFAULT 'rollout'
                          CHECK (mode IN ('rollout', 'latest', 'assigned',
                                          'pinned')),
    mode_before           text CHECK (mode_before IN ('rollout', 'latest',
                                                      'assigned')),
    assignment            int NOT NULL DEFAULT 0,
    assigned_software_id  int,
    assigned_type         text NOT NULL DEFAULT 'forced'
                          CHECK (assigned_type IN ('forced', 'soft',
                                                   'downloadonly')),
    assigned_confirm      boolean NOT NULL DEFAULT false,
    assigned_window       text,
    force_update          boolean NOT NULL DEFAULT false,
    state                 text NOT NULL DEFAULT 'unknown'
                          CHECK (state IN ('unknown', 'registered', 'running',
                                           'error', 'finished')),
    open_action_id        int,
    installed_action_id   int,
    log_from              bigint NOT NULL DEFAULT 0,
    poll_time             int CHECK (poll_time BETWEEN 1 AND 86399),
    token                 bytea CHECK (octet_length(token) = 32),
    blocked               boolean NOT NULL DEFAULT false,
    auto_confirm          boolean NOT NULL DEFAULT false,
    tags                  text[] NOT NULL DEFAULT '{}',
    config_data_at        timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, controller_id),
    FOREIGN KEY (tenant_id, assigned_software_id) REFERENCES goosebit.software
) WITH (fillfactor = 80);
CREATE INDEX device_feed ON goosebit.device (tenant_id, feed, id);
CREATE INDEX device_assigned ON goosebit.device
    (tenant_id, assigned_software_id) WHERE assigned_software_id IS NOT NULL;
COMMENT ON TABLE goosebit.device IS
    'devices and what is wanted of each; its lock guards its actions too';
COMMENT ON COLUMN goosebit.device.id IS 'inner key; never shown';
COMMENT ON COLUMN goosebit.device.controller_id IS
    'the id in the device''s URL, 1 to 255 bytes, compared by bytes';
COMMENT ON COLUMN goosebit.device.sw_version IS
    'installed version: as reported, or of the last action that succeeded';
COMMENT ON COLUMN goosebit.device.mode_before IS
    'what unpin goes back to; set while pinned';
COMMENT ON COLUMN goosebit.device.assignment IS
    'number of the current assignment: each makes a target of its own';
COMMENT ON COLUMN goosebit.device.force_update IS
    'one attempt whatever is installed, done or held; a final status clears it';
COMMENT ON COLUMN goosebit.device.open_action_id IS
    'its one action that has not ended';
COMMENT ON COLUMN goosebit.device.installed_action_id IS
    'last action that installed: installedBase';
COMMENT ON COLUMN goosebit.device.log_from IS
    'the shown log is the device''s action_status from this id on';
COMMENT ON COLUMN goosebit.device.poll_time IS
    'seconds; NULL: the tenant''s or the caller''s';
COMMENT ON COLUMN goosebit.device.token IS
    'SHA-256 of its TargetToken; NULL: has none';
COMMENT ON COLUMN goosebit.device.config_data_at IS
    'first accepted configData, or when added with its hardware and version';


CREATE TABLE goosebit.device_attributes (
    tenant_id   int NOT NULL,
    device_id   bigint NOT NULL,
    attributes  jsonb NOT NULL DEFAULT '{}',
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id)
        REFERENCES goosebit.device ON DELETE CASCADE
);
COMMENT ON TABLE goosebit.device_attributes IS
    'what the device last reported by configData, all of it';
COMMENT ON COLUMN goosebit.device_attributes.attributes IS
    'an object of at most 100 strings';


CREATE TABLE goosebit.device_seen (
    tenant_id  int NOT NULL,
    device_id  bigint NOT NULL,
    seen_at    timestamptz NOT NULL,
    address    text,
    PRIMARY KEY (tenant_id, device_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE goosebit.device_seen IS
    'last poll of each device; no other index, so that updates stay HOT';
COMMENT ON COLUMN goosebit.device_seen.address IS
    'where it came from; NULL when not tracked';


CREATE TABLE goosebit.rollout (
    tenant_id           int NOT NULL REFERENCES goosebit.tenant,
    id                  int GENERATED ALWAYS AS IDENTITY,
    name                text,
    feed                text NOT NULL DEFAULT 'default',
    software_id         int NOT NULL,
    state               text NOT NULL DEFAULT 'running'
                        CHECK (state IN ('running', 'paused', 'aborted')),
    state_reason        text,
    type                text NOT NULL DEFAULT 'forced'
                        CHECK (type IN ('forced', 'soft', 'downloadonly')),
    confirm             boolean NOT NULL DEFAULT false,
    allow_downgrade     boolean NOT NULL DEFAULT false,
    max_concurrent      int CHECK (max_concurrent > 0),
    deadline            int CHECK (deadline > 0),
    maintenance_window  text,
    start_at            timestamptz,
    generation          int NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL DEFAULT now(),
    ended_at            timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, software_id) REFERENCES goosebit.software
);
CREATE INDEX rollout_feed ON goosebit.rollout (tenant_id, feed, id DESC);
CREATE INDEX rollout_software ON goosebit.rollout (tenant_id, software_id);
COMMENT ON TABLE goosebit.rollout IS
    'a feed''s wish for a software: one row until devices come';
COMMENT ON COLUMN goosebit.rollout.state IS
    'what the operator set; scheduled and finished are computed when shown';
COMMENT ON COLUMN goosebit.rollout.state_reason IS
    'why it was paused or aborted';
COMMENT ON COLUMN goosebit.rollout.max_concurrent IS
    'most of its actions open at a time; NULL: only the tenant''s bound';
COMMENT ON COLUMN goosebit.rollout.deadline IS
    'seconds an action may stay silent; NULL: a day';
COMMENT ON COLUMN goosebit.rollout.start_at IS
    'before this it does not count';
COMMENT ON COLUMN goosebit.rollout.generation IS
    'raised by retry: holds of older generations are released';
COMMENT ON COLUMN goosebit.rollout.ended_at IS 'when it was aborted';


-- Real clients fail past 2^31-1, and on multiples of ten and below 11.
CREATE SEQUENCE goosebit.action_seq MAXVALUE 1932735273;

CREATE TABLE goosebit.action (
    tenant_id           int NOT NULL,
    device_id           bigint NOT NULL,
    id                  int NOT NULL,
    software_id         int NOT NULL,
    version             text NOT NULL,
    cause               text NOT NULL
                        CHECK (cause IN ('rollout', 'latest', 'assigned')),
    cause_id            int NOT NULL,
    generation          int NOT NULL DEFAULT 0,
    forced              boolean NOT NULL DEFAULT false,
    type                text NOT NULL DEFAULT 'forced'
                        CHECK (type IN ('forced', 'soft', 'downloadonly')),
    maintenance_window  text,
    state               text NOT NULL
                        CHECK (state IN ('open', 'running',
                                         'awaiting_confirmation',
                                         'cancelling', 'finished', 'error',
                                         'rejected', 'canceled', 'superseded',
                                         'timed_out')),
    progress            smallint NOT NULL DEFAULT 0
                        CHECK (progress BETWEEN 0 AND 100),
    deadline            int NOT NULL DEFAULT 86400,
    statuses            int NOT NULL DEFAULT 0,
    cancel_cause        text CHECK (cancel_cause IN ('operator', 'abort',
                                                     'superseded')),
    cancel_refused      boolean NOT NULL DEFAULT false,
    final               text CHECK (final IN ('finished', 'error', 'rejected',
                                              'canceled')),
    created_at          timestamptz NOT NULL DEFAULT now(),
    fetched_at          timestamptz,
    proceeding_at       timestamptz,
    heard_at            timestamptz NOT NULL DEFAULT now(),
    ended_at            timestamptz,
    PRIMARY KEY (tenant_id, device_id, id),
    FOREIGN KEY (tenant_id, device_id)
        REFERENCES goosebit.device ON DELETE CASCADE,
    CHECK ((ended_at IS NULL) = (state IN ('open', 'running',
                                           'awaiting_confirmation',
                                           'cancelling'))),
    CHECK (id BETWEEN 11 AND 2147483647 AND id % 10 <> 0)
) WITH (fillfactor = 70);
-- One open action a device, whatever the code says.
CREATE UNIQUE INDEX action_open ON goosebit.action (tenant_id, device_id)
    WHERE ended_at IS NULL;
CREATE INDEX action_cause ON goosebit.action
    (tenant_id, cause, cause_id, device_id, id);
CREATE INDEX action_cause_open ON goosebit.action (tenant_id, cause, cause_id)
    WHERE ended_at IS NULL;
CREATE INDEX action_software ON goosebit.action (tenant_id, software_id)
    WHERE ended_at IS NULL;
CREATE INDEX action_ended ON goosebit.action (tenant_id, ended_at)
    WHERE ended_at IS NOT NULL;
COMMENT ON TABLE goosebit.action IS
    'one attempt to bring one device to one software';
COMMENT ON COLUMN goosebit.action.id IS
    'from 11 to 2147483647, never a multiple of 10';
COMMENT ON COLUMN goosebit.action.version IS
    'software.version: history outlives the software';
COMMENT ON COLUMN goosebit.action.cause IS
    'with cause_id and software_id the target this is an attempt at';
COMMENT ON COLUMN goosebit.action.cause_id IS
    'the rollout''s id, the device''s assignment number, 0 for latest';
COMMENT ON COLUMN goosebit.action.generation IS
    'of the rollout, when it started: an older failure is released by retry';
COMMENT ON COLUMN goosebit.action.forced IS 'started by force';
COMMENT ON COLUMN goosebit.action.deadline IS
    'seconds it may stay silent, counted from heard_at';
COMMENT ON COLUMN goosebit.action.statuses IS
    'rows kept in action_status, at most 1000 and the final one';
COMMENT ON COLUMN goosebit.action.cancel_cause IS
    'why the device was asked to cancel; NULL: was not';
COMMENT ON COLUMN goosebit.action.cancel_refused IS
    'the device went on; it is not asked again';
COMMENT ON COLUMN goosebit.action.final IS
    'the device''s own final word; NULL with ended_at: the server ended it';
COMMENT ON COLUMN goosebit.action.fetched_at IS
    'the device first read deploymentBase';
COMMENT ON COLUMN goosebit.action.proceeding_at IS
    'first feedback "proceeding", which clears the shown log';
COMMENT ON COLUMN goosebit.action.heard_at IS
    'last feedback, or created_at before any';


CREATE SEQUENCE goosebit.action_status_seq;

CREATE TABLE goosebit.action_status (
    tenant_id  int NOT NULL,
    device_id  bigint NOT NULL,
    id         bigint NOT NULL DEFAULT nextval('goosebit.action_status_seq'),
    at         timestamptz NOT NULL DEFAULT now(),
    action_id  int NOT NULL,
    resource   text NOT NULL CHECK (resource IN ('deployment', 'cancel',
                                                 'confirmation')),
    execution  text NOT NULL,
    finished   text NOT NULL,
    progress   smallint,
    code       int,
    details    text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, device_id, id, at)
) PARTITION BY RANGE (at);
CREATE TABLE goosebit.action_status_default
    PARTITION OF goosebit.action_status DEFAULT;
ALTER SEQUENCE goosebit.action_status_seq OWNED BY goosebit.action_status.id;
COMMENT ON TABLE goosebit.action_status IS
    'what devices said about their actions; a partition a month';
COMMENT ON COLUMN goosebit.action_status.resource IS
    'which feedback resource it was posted to';
COMMENT ON COLUMN goosebit.action_status.details IS 'lines of the update log';


CREATE TABLE goosebit.audit (
    tenant_id  int NOT NULL,
    id         bigint GENERATED BY DEFAULT AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT now(),
    who        text NOT NULL DEFAULT session_user,
    verb       text NOT NULL,
    object     text NOT NULL,
    before     jsonb,
    after      jsonb,
    PRIMARY KEY (tenant_id, id, at)
) PARTITION BY RANGE (at);
CREATE TABLE goosebit.audit_default PARTITION OF goosebit.audit DEFAULT;
COMMENT ON TABLE goosebit.audit IS
    'what operators changed: one row an object; a partition a month';
COMMENT ON COLUMN goosebit.audit.who IS 'the login role';
COMMENT ON COLUMN goosebit.audit.verb IS 'noun.verb, as in device.assign';
COMMENT ON COLUMN goosebit.audit.object IS
    'controller id, software id, rollout id or tenant name';


CREATE TABLE goosebit.retention (
    history  text PRIMARY KEY,
    keep     interval NOT NULL CHECK (keep > '0')
);
INSERT INTO goosebit.retention VALUES
    ('action_status', '1 year'), ('audit', '2 years');
COMMENT ON TABLE goosebit.retention IS
    'how long tick() keeps the partitions of a table of history';


CREATE TABLE goosebit.tick_state (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    ran_at       timestamptz NOT NULL DEFAULT '-infinity',
    upkeep_at    timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10);
INSERT INTO goosebit.tick_state DEFAULT VALUES;
COMMENT ON TABLE goosebit.tick_state IS
    'one row: when tick() last ran, and last looked after partitions';
