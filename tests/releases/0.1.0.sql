--
-- PostgreSQL database dump
--

\restrict rmulfVpFfuij7zR6aXAIp8ST6P7JKRUduYn6vc1yHqmnOnBLRThDCQSho9iKqNi

-- Dumped from database version 18.4
-- Dumped by pg_dump version 18.4

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: vector; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;


--
-- Name: EXTENSION vector; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON EXTENSION vector IS 'vector data type and ivfflat and hnsw access methods';


--
-- Name: procrastinate_job_event_type; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.procrastinate_job_event_type AS ENUM (
    'deferred',
    'started',
    'deferred_for_retry',
    'failed',
    'succeeded',
    'cancelled',
    'abort_requested',
    'aborted',
    'scheduled',
    'retried'
);


--
-- Name: procrastinate_job_status; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.procrastinate_job_status AS ENUM (
    'todo',
    'doing',
    'succeeded',
    'failed',
    'cancelled',
    'aborting',
    'aborted'
);


--
-- Name: procrastinate_job_to_defer_v1; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.procrastinate_job_to_defer_v1 AS (
	queue_name character varying,
	task_name character varying,
	priority integer,
	lock text,
	queueing_lock text,
	args jsonb,
	scheduled_at timestamp with time zone
);


--
-- Name: image_words(regconfig, text, text, jsonb); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.image_words(language regconfig, name text, caption text, metadata jsonb) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $_$
        SELECT ts_delete(
            setweight(to_tsvector('simple', coalesce(caption, '')), 'A') || gap
            || setweight(to_tsvector(language, coalesce(caption, '')), 'A') || gap
            || setweight(to_tsvector('simple', whole), 'B') || gap
            || setweight(to_tsvector('simple', said), 'B') || gap
            || setweight(to_tsvector(language, said), 'B') || gap
            || setweight(jsonb_to_tsvector('simple', metadata, '["string", "numeric"]'), 'C') || gap
            || setweight(jsonb_to_tsvector(language, metadata, '["string", "numeric"]'), 'C'), ' ')
        FROM regexp_replace(name, '^.*/', '') AS whole,
            translate(whole, '_-./\+,;:()[]', '             ') AS said,
            CAST($gap$' ':8$gap$ AS tsvector) AS gap
    $_$;


--
-- Name: moment(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.moment(value text) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    AS $_$
    BEGIN
        IF value IS NULL OR value !~ '^\d{4}-\d{2}-\d{2}([T ]\d{2}:|$)' THEN
            RETURN NULL;
        END IF;
        RETURN value::timestamptz;
    EXCEPTION WHEN data_exception THEN
        RETURN NULL;
    END
    $_$;


--
-- Name: procrastinate_cancel_job_v1(bigint, boolean, boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_cancel_job_v1(job_id bigint, abort boolean, delete_job boolean) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    _job_id bigint;
BEGIN
    IF delete_job THEN
        DELETE FROM procrastinate_jobs
        WHERE id = job_id AND status = 'todo'
        RETURNING id INTO _job_id;
    END IF;
    IF _job_id IS NULL THEN
        IF abort THEN
            UPDATE procrastinate_jobs
            SET abort_requested = true,
                status = CASE status
                    WHEN 'todo' THEN 'cancelled'::procrastinate_job_status ELSE status
                END
            WHERE id = job_id AND status IN ('todo', 'doing')
            RETURNING id INTO _job_id;
        ELSE
            UPDATE procrastinate_jobs
            SET status = 'cancelled'::procrastinate_job_status
            WHERE id = job_id AND status = 'todo'
            RETURNING id INTO _job_id;
        END IF;
    END IF;
    RETURN _job_id;
END;
$$;


--
-- Name: procrastinate_defer_jobs_v1(public.procrastinate_job_to_defer_v1[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_defer_jobs_v1(jobs public.procrastinate_job_to_defer_v1[]) RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
DECLARE
    job_ids bigint[];
BEGIN
    WITH inserted_jobs AS (
        INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
        SELECT (job).queue_name,
               (job).task_name,
               (job).priority,
               (job).lock,
               (job).queueing_lock,
               (job).args,
               (job).scheduled_at
        FROM unnest(jobs) AS job
        RETURNING id
    )
    SELECT array_agg(id) FROM inserted_jobs INTO job_ids;

    RETURN job_ids;
END;
$$;


--
-- Name: procrastinate_defer_periodic_job_v2(character varying, character varying, character varying, character varying, integer, character varying, bigint, jsonb); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_defer_periodic_job_v2(_queue_name character varying, _lock character varying, _queueing_lock character varying, _task_name character varying, _priority integer, _periodic_id character varying, _defer_timestamp bigint, _args jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
	_job_id bigint;
	_defer_id bigint;
BEGIN
    INSERT
        INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp)
        VALUES (_task_name, _periodic_id, _defer_timestamp)
        ON CONFLICT DO NOTHING
        RETURNING id into _defer_id;

    IF _defer_id IS NULL THEN
        RETURN NULL;
    END IF;

    UPDATE procrastinate_periodic_defers
        SET job_id = (
            SELECT COALESCE((
                SELECT unnest(procrastinate_defer_jobs_v1(
                    ARRAY[
                        ROW(
                            _queue_name,
                            _task_name,
                            _priority,
                            _lock,
                            _queueing_lock,
                            _args,
                            NULL::timestamptz
                        )
                    ]::procrastinate_job_to_defer_v1[]
                ))
            ), NULL)
        )
        WHERE id = _defer_id
        RETURNING job_id INTO _job_id;

    DELETE
        FROM procrastinate_periodic_defers
        USING (
            SELECT id
            FROM procrastinate_periodic_defers
            WHERE procrastinate_periodic_defers.task_name = _task_name
            AND procrastinate_periodic_defers.periodic_id = _periodic_id
            AND procrastinate_periodic_defers.defer_timestamp < _defer_timestamp
            ORDER BY id
            FOR UPDATE
        ) to_delete
        WHERE procrastinate_periodic_defers.id = to_delete.id;

    RETURN _job_id;
END;
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: procrastinate_jobs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.procrastinate_jobs (
    id bigint NOT NULL,
    queue_name character varying(128) NOT NULL,
    task_name character varying(128) NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    lock text,
    queueing_lock text,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    status public.procrastinate_job_status DEFAULT 'todo'::public.procrastinate_job_status NOT NULL,
    scheduled_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    abort_requested boolean DEFAULT false NOT NULL,
    worker_id bigint,
    CONSTRAINT check_not_todo_abort_requested CHECK ((NOT ((status = 'todo'::public.procrastinate_job_status) AND (abort_requested = true))))
);


--
-- Name: procrastinate_fetch_job_v2(character varying[], bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_fetch_job_v2(target_queue_names character varying[], p_worker_id bigint) RETURNS public.procrastinate_jobs
    LANGUAGE plpgsql
    AS $$
DECLARE
	found_jobs procrastinate_jobs;
BEGIN
    WITH candidate AS (
        SELECT jobs.*
            FROM procrastinate_jobs AS jobs
            WHERE
                -- reject the job if its lock has earlier or higher priority jobs
                NOT EXISTS (
                    SELECT 1
                        FROM procrastinate_jobs AS other_jobs
                        WHERE
                            jobs.lock IS NOT NULL
                            AND other_jobs.lock = jobs.lock
                            AND (
                                -- job with same lock is already running
                                other_jobs.status = 'doing'
                                OR
                                -- job with same lock is waiting and has higher priority (or same priority but was queued first)
                                (
                                    other_jobs.status = 'todo'
                                    AND (
                                        other_jobs.priority > jobs.priority
                                        OR (
                                        other_jobs.priority = jobs.priority
                                        AND other_jobs.id < jobs.id
                                        )
                                    )
                                )
                            )
                )
                AND jobs.status = 'todo'
                AND (target_queue_names IS NULL OR jobs.queue_name = ANY( target_queue_names ))
                AND (jobs.scheduled_at IS NULL OR jobs.scheduled_at <= now())
            ORDER BY jobs.priority DESC, jobs.id ASC LIMIT 1
            FOR UPDATE OF jobs SKIP LOCKED
    )
    UPDATE procrastinate_jobs
        SET status = 'doing', worker_id = p_worker_id
        FROM candidate
        WHERE procrastinate_jobs.id = candidate.id
        RETURNING procrastinate_jobs.* INTO found_jobs;

 RETURN found_jobs;
END;
$$;


--
-- Name: procrastinate_finish_job_v1(bigint, public.procrastinate_job_status, boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_finish_job_v1(job_id bigint, end_status public.procrastinate_job_status, delete_job boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    _job_id bigint;
BEGIN
    IF end_status NOT IN ('succeeded', 'failed', 'aborted') THEN
        RAISE 'End status should be either "succeeded", "failed" or "aborted" (job id: %)', job_id;
    END IF;
    IF delete_job THEN
        DELETE FROM procrastinate_jobs
        WHERE id = job_id AND status IN ('todo', 'doing')
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = end_status,
            abort_requested = false,
            attempts = CASE status
                WHEN 'doing' THEN attempts + 1 ELSE attempts
            END
        WHERE id = job_id AND status IN ('todo', 'doing')
        RETURNING id INTO _job_id;
    END IF;
    IF _job_id IS NULL THEN
        RAISE 'Job was not found or not in "doing" or "todo" status (job id: %)', job_id;
    END IF;
END;
$$;


--
-- Name: procrastinate_notify_queue_abort_job_v1(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_notify_queue_abort_job_v1() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    payload TEXT;
BEGIN
    SELECT json_build_object('type', 'abort_job_requested', 'job_id', NEW.id)::text INTO payload;
	PERFORM pg_notify('procrastinate_queue_v1#' || NEW.queue_name, payload);
	PERFORM pg_notify('procrastinate_any_queue_v1', payload);
	RETURN NEW;
END;
$$;


--
-- Name: procrastinate_notify_queue_job_inserted_v1(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_notify_queue_job_inserted_v1() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    payload TEXT;
BEGIN
    SELECT json_build_object('type', 'job_inserted', 'job_id', NEW.id)::text INTO payload;
	PERFORM pg_notify('procrastinate_queue_v1#' || NEW.queue_name, payload);
	PERFORM pg_notify('procrastinate_any_queue_v1', payload);
	RETURN NEW;
END;
$$;


--
-- Name: procrastinate_prune_stalled_workers_v1(double precision); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_prune_stalled_workers_v1(seconds_since_heartbeat double precision) RETURNS TABLE(worker_id bigint)
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN QUERY
    DELETE FROM procrastinate_workers
    WHERE last_heartbeat < NOW() - (seconds_since_heartbeat || 'SECOND')::INTERVAL
    RETURNING procrastinate_workers.id;
END;
$$;


--
-- Name: procrastinate_register_worker_v1(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_register_worker_v1() RETURNS TABLE(worker_id bigint)
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN QUERY
    INSERT INTO procrastinate_workers DEFAULT VALUES
    RETURNING procrastinate_workers.id;
END;
$$;


--
-- Name: procrastinate_retry_job_v1(bigint, timestamp with time zone, integer, character varying, character varying); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_retry_job_v1(job_id bigint, retry_at timestamp with time zone, new_priority integer, new_queue_name character varying, new_lock character varying) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    _job_id bigint;
    _abort_requested boolean;
BEGIN
    SELECT abort_requested FROM procrastinate_jobs
    WHERE id = job_id AND status = 'doing'
    FOR UPDATE
    INTO _abort_requested;
    IF _abort_requested THEN
        UPDATE procrastinate_jobs
        SET status = 'failed'::procrastinate_job_status
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = 'todo'::procrastinate_job_status,
            attempts = attempts + 1,
            scheduled_at = retry_at,
            priority = COALESCE(new_priority, priority),
            queue_name = COALESCE(new_queue_name, queue_name),
            lock = COALESCE(new_lock, lock)
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    END IF;

    IF _job_id IS NULL THEN
        RAISE 'Job was not found or not in "doing" status (job id: %)', job_id;
    END IF;
END;
$$;


--
-- Name: procrastinate_retry_job_v2(bigint, timestamp with time zone, integer, character varying, character varying); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_retry_job_v2(job_id bigint, retry_at timestamp with time zone, new_priority integer, new_queue_name character varying, new_lock character varying) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    _job_id bigint;
    _abort_requested boolean;
    _current_status procrastinate_job_status;
BEGIN
    SELECT status, abort_requested FROM procrastinate_jobs
    WHERE id = job_id AND status IN ('doing', 'failed')
    FOR UPDATE
    INTO _current_status, _abort_requested;
    IF _current_status = 'doing' AND _abort_requested THEN
        UPDATE procrastinate_jobs
        SET status = 'failed'::procrastinate_job_status
        WHERE id = job_id AND status = 'doing'
        RETURNING id INTO _job_id;
    ELSE
        UPDATE procrastinate_jobs
        SET status = 'todo'::procrastinate_job_status,
            attempts = attempts + 1,
            scheduled_at = retry_at,
            priority = COALESCE(new_priority, priority),
            queue_name = COALESCE(new_queue_name, queue_name),
            lock = COALESCE(new_lock, lock)
        WHERE id = job_id AND status IN ('doing', 'failed')
        RETURNING id INTO _job_id;
    END IF;

    IF _job_id IS NULL THEN
        RAISE 'Job was not found or has an invalid status to retry (job id: %)', job_id;
    END IF;

END;
$$;


--
-- Name: procrastinate_trigger_abort_requested_events_procedure_v1(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_trigger_abort_requested_events_procedure_v1() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type)
        VALUES (NEW.id, 'abort_requested'::procrastinate_job_event_type);
    RETURN NEW;
END;
$$;


--
-- Name: procrastinate_trigger_function_scheduled_events_v1(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_trigger_function_scheduled_events_v1() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type, at)
        VALUES (NEW.id, 'scheduled'::procrastinate_job_event_type, NEW.scheduled_at);

	RETURN NEW;
END;
$$;


--
-- Name: procrastinate_trigger_function_status_events_insert_v1(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_trigger_function_status_events_insert_v1() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO procrastinate_events(job_id, type)
        VALUES (NEW.id, 'deferred'::procrastinate_job_event_type);
	RETURN NEW;
END;
$$;


--
-- Name: procrastinate_trigger_function_status_events_update_v1(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_trigger_function_status_events_update_v1() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    WITH t AS (
        SELECT CASE
            WHEN OLD.status = 'todo'::procrastinate_job_status
                AND NEW.status = 'doing'::procrastinate_job_status
                THEN 'started'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'todo'::procrastinate_job_status
                THEN 'deferred_for_retry'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'failed'::procrastinate_job_status
                THEN 'failed'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'succeeded'::procrastinate_job_status
                THEN 'succeeded'::procrastinate_job_event_type
            WHEN OLD.status = 'todo'::procrastinate_job_status
                AND (
                    NEW.status = 'cancelled'::procrastinate_job_status
                    OR NEW.status = 'failed'::procrastinate_job_status
                    OR NEW.status = 'succeeded'::procrastinate_job_status
                )
                THEN 'cancelled'::procrastinate_job_event_type
            WHEN OLD.status = 'doing'::procrastinate_job_status
                AND NEW.status = 'aborted'::procrastinate_job_status
                THEN 'aborted'::procrastinate_job_event_type
            WHEN OLD.status = 'failed'::procrastinate_job_status
                AND NEW.status = 'todo'::procrastinate_job_status
                THEN 'retried'::procrastinate_job_event_type
            ELSE NULL
        END as event_type
    )
    INSERT INTO procrastinate_events(job_id, type)
        SELECT NEW.id, t.event_type
        FROM t
        WHERE t.event_type IS NOT NULL;
	RETURN NEW;
END;
$$;


--
-- Name: procrastinate_unlink_periodic_defers_v1(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_unlink_periodic_defers_v1() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE procrastinate_periodic_defers
    SET job_id = NULL
    WHERE job_id = OLD.id;
    RETURN OLD;
END;
$$;


--
-- Name: procrastinate_unregister_worker_v1(bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_unregister_worker_v1(worker_id bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM procrastinate_workers
    WHERE id = worker_id;
END;
$$;


--
-- Name: procrastinate_update_heartbeat_v1(bigint); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.procrastinate_update_heartbeat_v1(worker_id bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE procrastinate_workers
    SET last_heartbeat = NOW()
    WHERE id = worker_id;
END;
$$;


--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: api_keys; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_keys (
    id integer NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    hash bytea NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT api_keys_role_check CHECK ((role = ANY (ARRAY['reader'::text, 'writer'::text, 'admin'::text])))
);


--
-- Name: api_keys_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.api_keys ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.api_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: collections; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.collections (
    id integer NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    language text DEFAULT 'english'::text NOT NULL,
    fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT collections_fields_check CHECK ((jsonb_typeof(fields) = 'object'::text))
);


--
-- Name: collections_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.collections ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.collections_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: embeddings; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.embeddings (
    index_id integer NOT NULL,
    image_id bigint NOT NULL,
    region integer DEFAULT 0 NOT NULL,
    box jsonb,
    embedding public.halfvec,
    full_embedding public.vector,
    CONSTRAINT embeddings_stored_once_check CHECK ((num_nonnulls(embedding, full_embedding) = 1))
)
PARTITION BY LIST (index_id);


--
-- Name: embeddings_1; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.embeddings_1 (
    index_id integer CONSTRAINT embeddings_index_id_not_null NOT NULL,
    image_id bigint CONSTRAINT embeddings_image_id_not_null NOT NULL,
    region integer DEFAULT 0 CONSTRAINT embeddings_region_not_null NOT NULL,
    box jsonb,
    embedding public.halfvec,
    full_embedding public.vector,
    CONSTRAINT embeddings_1_dimensions_check CHECK (((embedding IS NOT NULL) AND (public.vector_dims(embedding) = 128))),
    CONSTRAINT embeddings_stored_once_check CHECK ((num_nonnulls(embedding, full_embedding) = 1))
);


--
-- Name: embeddings_2; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.embeddings_2 (
    index_id integer CONSTRAINT embeddings_index_id_not_null NOT NULL,
    image_id bigint CONSTRAINT embeddings_image_id_not_null NOT NULL,
    region integer DEFAULT 0 CONSTRAINT embeddings_region_not_null NOT NULL,
    box jsonb,
    embedding public.halfvec,
    full_embedding public.vector,
    CONSTRAINT embeddings_2_dimensions_check CHECK (((embedding IS NOT NULL) AND (public.vector_dims(embedding) = 128))),
    CONSTRAINT embeddings_stored_once_check CHECK ((num_nonnulls(embedding, full_embedding) = 1))
);


--
-- Name: feedback; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.feedback (
    id bigint NOT NULL,
    query_id bigint NOT NULL,
    search uuid NOT NULL,
    image_id bigint,
    rating smallint NOT NULL,
    comment text,
    fold smallint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT feedback_rating_check CHECK (((rating >= 1) AND (rating <= 10)))
);


--
-- Name: feedback_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.feedback ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.feedback_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: feedback_queries; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.feedback_queries (
    id bigint NOT NULL,
    index_id integer NOT NULL,
    digest bytea NOT NULL,
    query text NOT NULL,
    dimensions integer NOT NULL,
    embedding public.halfvec NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT feedback_queries_dimensions_check CHECK ((public.vector_dims(embedding) = dimensions))
);


--
-- Name: feedback_queries_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.feedback_queries ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.feedback_queries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: images; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.images (
    id bigint NOT NULL,
    collection_id integer NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    content_hash bytea NOT NULL,
    etag text NOT NULL,
    bytes bigint NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    format text NOT NULL,
    caption text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    origin text,
    taken_at timestamp with time zone,
    perceptual_hash bigint,
    removed_at timestamp with time zone,
    language regconfig DEFAULT 'english'::regconfig NOT NULL,
    words tsvector GENERATED ALWAYS AS (public.image_words(language, COALESCE(origin, path), caption, metadata)) STORED,
    CONSTRAINT images_content_hash_check CHECK ((length(content_hash) = 32)),
    CONSTRAINT images_metadata_check CHECK ((jsonb_typeof(metadata) = 'object'::text))
);


--
-- Name: images_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.images ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.images_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: job_items; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.job_items (
    id bigint NOT NULL,
    job_id bigint NOT NULL,
    path text NOT NULL,
    etag text NOT NULL,
    bytes bigint,
    removal boolean DEFAULT false NOT NULL,
    staged text,
    caption text,
    metadata jsonb,
    state text DEFAULT 'pending'::text NOT NULL,
    outcome text,
    reason text,
    attempts integer DEFAULT 0 NOT NULL,
    leases integer DEFAULT 0 NOT NULL,
    worker text,
    image_id bigint,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT job_items_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'running'::text, 'succeeded'::text, 'skipped'::text, 'failed'::text, 'cancelled'::text])))
);


--
-- Name: job_items_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.job_items ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.job_items_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: jobs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.jobs (
    id bigint NOT NULL,
    collection_id integer NOT NULL,
    source jsonb NOT NULL,
    mode text NOT NULL,
    dry_run boolean NOT NULL,
    queue text NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    reason text,
    checkpoint text COLLATE pg_catalog."C",
    listed boolean DEFAULT false NOT NULL,
    total integer DEFAULT 0 NOT NULL,
    added integer DEFAULT 0 NOT NULL,
    changed integer DEFAULT 0 NOT NULL,
    moved integer DEFAULT 0 NOT NULL,
    removed integer DEFAULT 0 NOT NULL,
    unchanged integer DEFAULT 0 NOT NULL,
    duplicate integer DEFAULT 0 NOT NULL,
    gone integer DEFAULT 0 NOT NULL,
    failed integer DEFAULT 0 NOT NULL,
    cancelled integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT jobs_mode_check CHECK ((mode = ANY (ARRAY['add'::text, 'sync'::text]))),
    CONSTRAINT jobs_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'cancelling'::text, 'cancelled'::text])))
);


--
-- Name: jobs_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.jobs ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: procrastinate_events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.procrastinate_events (
    id bigint NOT NULL,
    job_id bigint NOT NULL,
    type public.procrastinate_job_event_type,
    at timestamp with time zone DEFAULT now()
);


--
-- Name: procrastinate_events_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.procrastinate_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: procrastinate_events_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.procrastinate_events_id_seq OWNED BY public.procrastinate_events.id;


--
-- Name: procrastinate_jobs_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.procrastinate_jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: procrastinate_jobs_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.procrastinate_jobs_id_seq OWNED BY public.procrastinate_jobs.id;


--
-- Name: procrastinate_periodic_defers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.procrastinate_periodic_defers (
    id bigint NOT NULL,
    task_name character varying(128) NOT NULL,
    defer_timestamp bigint,
    job_id bigint,
    periodic_id character varying(128) DEFAULT ''::character varying NOT NULL
);


--
-- Name: procrastinate_periodic_defers_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.procrastinate_periodic_defers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: procrastinate_periodic_defers_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.procrastinate_periodic_defers_id_seq OWNED BY public.procrastinate_periodic_defers.id;


--
-- Name: procrastinate_workers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.procrastinate_workers (
    id bigint NOT NULL,
    last_heartbeat timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: procrastinate_workers_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.procrastinate_workers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.procrastinate_workers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: vector_indexes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.vector_indexes (
    id integer NOT NULL,
    collection_id integer NOT NULL,
    model text NOT NULL,
    pretrained text NOT NULL,
    fingerprint text NOT NULL,
    dimensions integer NOT NULL,
    m integer NOT NULL,
    ef_construction integer NOT NULL,
    state text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    storage text DEFAULT 'halfvec'::text NOT NULL,
    ef_search integer,
    chance bytea,
    trial jsonb,
    CONSTRAINT vector_indexes_state_check CHECK ((state = ANY (ARRAY['building'::text, 'active'::text, 'retired'::text]))),
    CONSTRAINT vector_indexes_storage_check CHECK ((storage = ANY (ARRAY['halfvec'::text, 'vector'::text, 'bit'::text])))
);


--
-- Name: vector_indexes_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.vector_indexes ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.vector_indexes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: embeddings_1; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.embeddings ATTACH PARTITION public.embeddings_1 FOR VALUES IN (1);


--
-- Name: embeddings_2; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.embeddings ATTACH PARTITION public.embeddings_2 FOR VALUES IN (2);


--
-- Name: procrastinate_events id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_events ALTER COLUMN id SET DEFAULT nextval('public.procrastinate_events_id_seq'::regclass);


--
-- Name: procrastinate_jobs id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_jobs ALTER COLUMN id SET DEFAULT nextval('public.procrastinate_jobs_id_seq'::regclass);


--
-- Name: procrastinate_periodic_defers id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_periodic_defers ALTER COLUMN id SET DEFAULT nextval('public.procrastinate_periodic_defers_id_seq'::regclass);


--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.alembic_version (version_num) FROM stdin;
0004
\.


--
-- Data for Name: api_keys; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.api_keys (id, namespace, name, role, hash, expires_at, revoked_at, last_used_at, created_at) FROM stdin;
\.


--
-- Data for Name: collections; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.collections (id, namespace, name, created_at, language, fields) FROM stdin;
1	default	default	2026-11-29 23:10:53.830585+00	english	{}
2	default	holidays	2026-11-29 23:11:22.667055+00	english	{"place": "text"}
\.


--
-- Data for Name: embeddings_1; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.embeddings_1 (index_id, image_id, region, box, embedding, full_embedding) FROM stdin;
1	1	0	\N	[0.17773438,-0.13098145,0.05834961,0.09869385,0.15148926,-0.06677246,0.007843018,0.020385742,0.045440674,0.101257324,-0.17602539,0.06463623,0.11022949,-0.025161743,0.031677246,0.09942627,-0.0690918,-0.0146102905,0.13330078,0.09185791,0.09979248,0.013748169,-0.029708862,0.017410278,-0.08453369,-0.13391113,-0.04434204,0.0026950836,-0.013671875,0.07165527,0.09020996,0.010070801,-0.023452759,0.06695557,0.09466553,0.105773926,-0.07354736,0.09777832,0.0284729,-0.08355713,0.08166504,-0.20776367,0.061035156,-0.04611206,0.02960205,-0.012290955,0.045776367,0.060333252,0.06945801,0.20922852,-0.04397583,-0.0703125,-0.13574219,0.017364502,0.060424805,0.0847168,-0.056243896,-0.12609863,0.026351929,0.14453125,0.086120605,0.06854248,0.041778564,0.04888916,-0.028747559,0.11450195,0.10144043,0.09686279,0.050323486,-0.020202637,-0.023254395,-0.13708496,-0.0025672913,0.047607422,0.05328369,0.059326172,-0.025970459,-0.021728516,0.10632324,0.005584717,0.051086426,-0.036132812,0.1418457,0.071777344,-0.011581421,-0.109680176,-0.05532837,-0.09625244,-0.052947998,0.17285156,0.020370483,0.008010864,0.06744385,-0.14501953,-0.02645874,-0.068115234,-0.16174316,0.051239014,0.018051147,0.060760498,-0.045898438,0.019744873,-0.11376953,-0.046722412,-0.11462402,-0.08276367,0.041625977,0.048187256,0.05581665,0.07928467,-0.0061416626,0.0463562,-0.1550293,-0.0034713745,0.025741577,0.020614624,0.026428223,-0.14697266,0.18725586,0.048461914,0.15917969,-0.054107666,-0.2376709,-0.15014648,-0.14587402,-0.018966675,-0.016677856,-0.09326172]	\N
1	2	0	\N	[0.13061523,-0.103149414,-0.040252686,0.07116699,-0.17285156,0.033172607,-0.019973755,0.0022239685,-0.064208984,-0.008125305,-0.05291748,0.09436035,-0.08203125,-0.10479736,0.12805176,0.108947754,0.0385437,-0.1484375,-0.04324341,-0.019882202,-0.011657715,0.010894775,0.046539307,0.11425781,-0.09765625,0.022247314,0.09320068,-0.11224365,0.032165527,0.089538574,-0.051727295,0.06463623,-0.004432678,0.04434204,0.011489868,-0.056671143,0.24133301,-0.11315918,0.028076172,0.11090088,0.0060157776,-0.09008789,-0.058807373,0.10498047,0.105529785,-0.16149902,-0.02458191,-0.07678223,0.05105591,-0.18615723,-0.14257812,0.04748535,0.05038452,-0.014289856,0.027145386,0.016311646,-0.027328491,0.17224121,0.09667969,0.01133728,0.040527344,0.091308594,-0.07128906,0.12445068,-0.08874512,0.029083252,-0.17407227,0.025024414,0.02420044,0.044647217,-0.059326172,0.171875,0.122558594,0.0914917,-0.014099121,0.034454346,0.06402588,0.13000488,0.0024280548,-0.03604126,0.20837402,0.004940033,-0.122558594,-0.11602783,0.029342651,-0.0287323,0.020477295,-0.017196655,-0.072631836,-0.03250122,0.064575195,-0.061523438,-0.13098145,-0.042999268,0.09838867,0.062194824,-0.03778076,0.06896973,0.17114258,0.048431396,0.022338867,-0.0178833,-0.12988281,0.10241699,0.030654907,-0.016784668,-0.0030384064,0.0008010864,0.0074272156,-0.11456299,-0.007461548,0.05505371,-0.14709473,0.028778076,-0.101867676,0.04522705,0.086364746,-0.012878418,-0.16345215,0.029815674,-0.097961426,-0.023635864,0.043426514,-0.06756592,0.17834473,-0.123046875,0.1673584,0.07330322]	\N
1	3	0	\N	[0.1895752,-0.12536621,-0.054595947,-0.028213501,0.047576904,0.16992188,0.06549072,-0.01953125,-0.031234741,-0.23876953,-0.030807495,0.0501709,-0.15612793,0.07159424,0.03918457,0.040008545,0.0013475418,-0.09741211,0.12597656,0.08984375,-0.048034668,-0.015655518,0.023788452,-0.042755127,-0.16699219,-0.054016113,0.0050315857,-0.09136963,-0.058380127,-0.005065918,0.03955078,-0.046295166,-0.08654785,-0.07537842,0.11968994,-0.24694824,-0.070373535,-0.04135132,0.06549072,-0.011329651,0.0061035156,-0.09655762,-0.03338623,-0.04837036,0.03692627,-0.040283203,0.11669922,0.032073975,-0.07501221,0.1619873,-0.06750488,0.048736572,0.10797119,0.08996582,0.12359619,0.17871094,-0.09088135,-0.0031433105,0.1303711,-0.014213562,-0.08074951,0.119384766,0.1418457,0.06842041,0.024459839,0.12463379,0.0574646,-0.03363037,0.0010690689,0.10681152,-0.1706543,0.03062439,0.027053833,-0.016036987,0.11248779,-0.06335449,-0.040527344,0.01991272,0.018920898,0.025100708,0.02067566,0.07385254,-0.091796875,0.044830322,0.051940918,-0.04876709,0.15698242,-0.10864258,-0.0748291,-0.060516357,0.041748047,-0.02822876,-0.10223389,-0.08581543,0.117248535,-0.0690918,-0.11529541,-0.014381409,0.07324219,0.04800415,0.113098145,-0.010231018,-0.014404297,0.00623703,-0.27734375,-0.0769043,0.06335449,0.11920166,-0.1427002,-0.093811035,-0.041809082,-0.08123779,-0.029525757,-0.04272461,-0.08178711,-0.06536865,0.026504517,0.10748291,-0.07116699,0.11639404,0.054107666,-0.066711426,-0.01953125,0.043029785,0.002576828,-0.07775879,-0.0015687943,0.03817749]	\N
1	4	0	\N	[0.15698242,-0.13793945,-0.003227234,0.055725098,0.13183594,0.056488037,0.05496216,-0.17358398,0.025985718,-0.095825195,-0.056030273,0.03463745,0.045837402,-0.074035645,-0.098083496,0.16772461,0.0647583,-0.0501709,0.070617676,0.027008057,0.07556152,0.09613037,-0.0035629272,0.01876831,-0.113098145,-0.07006836,-0.018569946,0.034118652,-0.053833008,-0.00032424927,0.18347168,-0.04144287,-0.04046631,-0.02986145,0.13598633,0.03475952,-0.04888916,0.081604004,0.020767212,-0.12237549,0.08703613,-0.22436523,-0.10748291,-0.0713501,0.072265625,0.0021781921,0.07861328,0.04458618,-0.0077209473,0.1472168,-0.21826172,-0.07208252,0.021438599,0.049560547,0.038024902,0.059020996,-0.046325684,-0.048187256,0.13061523,0.06774902,-0.0030841827,-0.042144775,0.120788574,0.077697754,0.066223145,0.14929199,0.1796875,0.12536621,-0.010375977,0.03375244,-0.12512207,-0.14501953,0.040802002,-0.033721924,0.062164307,0.0014829636,0.06427002,0.035949707,0.11102295,0.08239746,-0.04058838,-0.009536743,0.06021118,0.089904785,0.054992676,-0.13317871,0.049072266,-0.09649658,-0.024520874,0.10119629,-0.042510986,0.06982422,-0.058807373,-0.1665039,0.0043411255,-0.040222168,-0.0592041,0.12194824,0.06060791,0.12445068,0.1003418,-0.10882568,-0.07348633,-0.09515381,-0.18261719,-0.05593872,-0.014465332,0.013908386,0.035339355,0.078125,-0.068237305,0.07775879,-0.12036133,0.04019165,0.048675537,-0.019683838,0.042419434,-0.0395813,0.21142578,-0.04296875,0.13317871,-0.054840088,-0.11767578,-0.07904053,-0.060821533,-0.08282471,-0.0026836395,0.0059394836]	\N
1	5	0	\N	[0.070129395,-0.17590332,-0.04107666,-0.0032749176,0.14892578,-0.043518066,0.066101074,-0.14807129,-0.09295654,0.0317688,-0.004055023,0.072509766,0.015182495,-0.17114258,0.1315918,0.18249512,0.12451172,-0.14990234,-0.038391113,-0.078430176,0.015556335,-0.030532837,-0.02420044,0.119384766,-0.10949707,-0.109313965,0.08795166,-0.0793457,-0.0026283264,0.031082153,0.04333496,0.062561035,0.06439209,0.08496094,-0.10974121,0.024612427,0.20397949,0.0096206665,0.09906006,0.042816162,-0.12347412,-0.18664551,-0.09265137,0.056030273,0.17907715,-0.11566162,-0.03387451,-0.08392334,-0.0005135536,-0.107299805,-0.13842773,0.05218506,0.098083496,0.07550049,-0.12231445,-0.058135986,0.03930664,0.13427734,0.12878418,-0.015380859,0.1920166,-0.00036382675,-0.1239624,0.07672119,-0.035247803,0.09008789,-0.16662598,0.015777588,0.061462402,-0.084228516,-0.18249512,0.04812622,0.030471802,0.051239014,-0.08001709,0.06567383,0.053100586,0.0061416626,0.107055664,0.007610321,0.11193848,-0.0075798035,-0.04949951,-0.05529785,0.016845703,-0.09515381,-0.06854248,0.018737793,-0.035980225,0.09063721,-0.00831604,-0.0008625984,-0.06896973,0.041046143,0.028289795,-0.011993408,-0.04763794,0.059020996,0.16711426,0.05480957,0.06210327,0.01776123,-0.13269043,0.044036865,0.009941101,0.062561035,-0.028198242,-0.035125732,-0.010002136,-0.019836426,0.016998291,0.0015878677,-0.11505127,0.083740234,-0.04727173,0.0769043,0.07055664,-0.020080566,-0.057373047,0.004711151,0.07495117,-0.03842163,0.064575195,-0.14111328,0.19299316,-0.06518555,0.13183594,0.003501892]	\N
1	6	0	\N	[0.064086914,-0.15234375,-0.0725708,0.058166504,0.14709473,-0.008117676,-0.055908203,-0.0690918,-0.0012693405,0.028793335,-0.049804688,0.02357483,-0.053619385,-0.05795288,0.0859375,-0.07006836,-0.15612793,0.014190674,0.16210938,0.03189087,-0.09686279,0.010505676,0.23205566,0.044677734,-0.057678223,0.0031547546,-0.101623535,0.04031372,-0.17944336,-0.085876465,0.071899414,0.026779175,-0.08557129,-0.1138916,-0.035217285,-0.010643005,-0.10089111,-0.020599365,-0.04324341,0.054351807,-0.07550049,-0.16699219,0.02468872,-0.051879883,-0.015777588,0.028320312,-0.04446411,-0.001405716,0.18884277,0.0031585693,-0.11578369,0.035064697,0.015640259,-0.02798462,0.14428711,0.08294678,0.035614014,-0.21496582,0.07476807,0.036895752,0.024642944,0.015365601,0.11529541,0.1071167,0.004688263,-0.06762695,-0.05529785,-0.0473938,-0.16320801,0.058807373,-0.0057754517,-0.11657715,-0.011444092,0.05001831,-0.12384033,-0.0690918,-0.0129470825,0.04800415,-0.06781006,0.06744385,0.1586914,-0.030212402,0.017929077,0.15307617,0.09161377,0.059570312,-0.1821289,-0.087524414,-0.16223145,0.0057754517,0.086364746,-0.029449463,0.021987915,-0.11236572,-0.026321411,-0.17053223,-0.16467285,-0.045013428,0.0982666,0.020721436,0.024856567,-0.002122879,0.040222168,0.22644043,-0.027297974,0.039520264,0.03086853,0.0647583,0.11975098,0.03286743,0.0423584,-0.052520752,0.07318115,0.042236328,-0.116882324,0.05218506,-0.048614502,0.006000519,-0.15307617,0.07952881,0.04321289,0.043762207,-0.14880371,0.14892578,-0.039215088,0.020462036,-0.01979065,0.0602417]	\N
1	7	0	\N	[-0.024856567,0.016830444,-0.05831909,0.06665039,0.10626221,0.02406311,-0.0011367798,-0.07470703,-0.02116394,-0.08380127,-0.041381836,-0.07208252,-0.14086914,-0.02619934,0.12695312,-0.1459961,0.11608887,-0.034179688,-0.082092285,-0.12939453,-0.05053711,-0.06970215,0.0040740967,-0.052246094,-0.0491333,0.051513672,-0.023117065,0.02204895,-0.10876465,0.039398193,0.019927979,-0.013587952,-0.064941406,-0.08959961,-0.15966797,-0.17504883,-0.12976074,0.05267334,-0.07141113,0.12030029,-0.07110596,0.060180664,-0.12176514,0.012084961,0.08416748,-0.07055664,0.09320068,0.07763672,0.13305664,-0.090026855,0.07336426,0.008033752,0.23498535,-0.1307373,0.07434082,-0.051330566,0.027816772,0.040985107,0.04815674,0.07080078,-0.120910645,0.006790161,-0.074035645,0.051239014,-0.08306885,0.029571533,-0.16967773,-0.14685059,-0.014144897,0.07873535,-0.068115234,-0.056793213,0.1697998,0.1505127,-0.12365723,-0.02130127,0.11218262,0.008583069,-0.15490723,0.025939941,0.014251709,-0.038238525,0.011878967,-0.11633301,-0.1697998,0.071899414,-0.18432617,0.083618164,-0.093688965,-0.009399414,0.11077881,-0.037506104,0.043884277,0.122802734,0.044128418,0.07965088,-0.008674622,-0.10534668,-0.0026683807,0.021652222,0.05279541,0.09552002,0.14038086,0.11846924,0.03463745,0.0085372925,-0.050598145,0.017028809,-0.054779053,-0.066223145,-0.015838623,-0.016357422,0.05545044,-0.024108887,-0.1027832,-0.10144043,0.11584473,0.08343506,-0.2097168,0.003276825,-0.03643799,0.09326172,0.08428955,0.19384766,-0.004711151,-0.052612305,0.007286072,-0.0011377335]	\N
1	8	0	\N	[0.051574707,0.016143799,-0.0099487305,0.009460449,-0.012886047,-0.081970215,-0.0138168335,-0.11791992,-0.017166138,0.11602783,-0.050048828,0.038513184,-0.056549072,-0.13500977,0.05407715,0.119628906,-0.034210205,-0.0847168,-0.12780762,-0.05871582,0.06976318,0.042877197,0.070007324,0.013977051,0.049041748,-0.007659912,0.009811401,0.036071777,0.051208496,0.060302734,0.049713135,-0.06939697,0.0065612793,0.019332886,0.031799316,0.1418457,0.13110352,0.16442871,-0.10882568,0.11657715,0.00522995,-0.06774902,-0.11065674,0.023284912,0.008407593,-0.2076416,-0.047027588,0.030014038,0.012245178,-0.22106934,0.110961914,-0.18432617,-0.01966858,-0.19372559,-0.082458496,-0.10284424,0.05392456,0.011993408,0.11602783,0.006832123,-0.0793457,-0.023025513,-0.22741699,0.12097168,0.043945312,-0.057525635,-0.12634277,0.0748291,0.017318726,-0.04385376,-0.0011453629,0.007385254,0.18383789,0.14831543,-0.04425049,0.025161743,0.105163574,0.15783691,-0.04699707,0.04598999,-0.22546387,-0.10266113,0.11047363,-0.021209717,-0.013282776,0.01878357,-0.07220459,0.009666443,-0.0020942688,0.007247925,0.15344238,-0.018295288,-0.012290955,0.025604248,-0.037963867,0.15283203,-0.0023708344,0.15197754,0.016204834,0.078430176,0.022598267,0.072509766,0.027908325,0.0211792,0.015777588,0.023117065,-0.17626953,-0.09222412,0.08203125,-0.09857178,-0.008293152,-0.06341553,0.0076179504,0.11468506,0.002714157,0.13195801,-0.051483154,-0.0904541,0.0030078888,-0.08581543,-0.08459473,0.11004639,0.039764404,-0.085632324,0.03314209,-0.16442871,0.056488037,0.06298828]	\N
1	9	0	\N	[-0.06341553,0.11669922,0.06585693,0.032196045,0.11218262,-0.021316528,0.0027770996,0.018798828,-0.0073165894,0.042236328,-0.06286621,-0.040008545,0.077697754,-0.02746582,0.1586914,0.045654297,-0.008277893,-0.015174866,-0.087646484,-0.079956055,-0.020477295,-0.14318848,0.056488037,-0.096191406,0.0793457,-0.05407715,-0.038146973,0.061401367,0.086364746,0.036224365,0.030975342,-0.03164673,-0.08404541,-0.11743164,-0.055725098,-0.006385803,-0.0030345917,0.1973877,0.0065689087,0.16247559,-0.05328369,0.022003174,-0.10028076,0.0047798157,-0.023498535,-0.14794922,0.035247803,0.08380127,0.0076179504,-0.0011529922,0.28955078,-0.07293701,0.02973938,-0.14245605,-0.11639404,-0.048980713,-0.111450195,-0.02935791,-0.06677246,0.03086853,-0.013786316,0.050598145,-0.18896484,0.06842041,-0.01663208,-0.058013916,-0.10601807,-0.041748047,0.109375,-0.0012779236,-0.055145264,-0.053222656,0.19714355,0.16503906,-0.04925537,0.05432129,0.0960083,0.062805176,-0.04284668,0.004131317,-0.10638428,-0.043884277,0.20288086,0.047210693,-0.22399902,0.054626465,-0.15856934,0.08642578,-0.074645996,0.021881104,0.18859863,-0.028625488,0.1171875,0.14013672,-0.015670776,0.15478516,0.015640259,-0.095214844,-0.12939453,0.0025539398,-0.0025348663,0.06817627,0.07324219,0.07696533,-0.0038490295,-0.029907227,-0.15283203,-0.09362793,-0.0055274963,0.004470825,-0.010002136,-0.067871094,-0.0007324219,0.023254395,0.04019165,0.044891357,0.03036499,0.0070724487,-0.090026855,-0.02760315,-0.12017822,0.066101074,0.12011719,-0.022003174,0.028244019,-0.1616211,0.05355835,-0.0826416]	\N
1	10	0	\N	[0.121032715,-0.10736084,-0.04171753,0.01309967,0.15612793,0.14282227,0.096069336,0.0287323,-0.101135254,-0.058807373,-0.09625244,0.047088623,0.06286621,-0.029312134,0.0035190582,0.16491699,-0.037750244,0.0146865845,0.06347656,0.09851074,-0.08557129,-0.0069885254,0.12817383,-0.022506714,-0.042175293,-0.15795898,-0.041015625,-0.024169922,0.0881958,-0.017532349,-0.03616333,0.033935547,0.06951904,-0.14123535,-0.04208374,-0.14648438,0.13220215,0.01737976,0.19189453,0.017501831,-0.0047073364,-0.15942383,0.0029888153,0.022140503,-0.06524658,-0.10662842,0.10784912,0.035461426,-0.09423828,0.19750977,0.024932861,-0.12390137,-0.1607666,-0.03265381,0.08319092,0.13134766,-0.049987793,-0.0014219284,-0.003627777,0.12414551,0.17895508,0.08105469,-0.07904053,0.09075928,0.04156494,0.06524658,-0.040252686,-0.0023212433,-0.03982544,0.097229004,-0.026138306,0.13659668,0.035308838,0.11791992,0.03048706,0.060455322,-0.0340271,0.13452148,0.1262207,-0.091796875,0.08129883,-0.04586792,0.062561035,0.18017578,-0.013008118,0.008041382,-0.038269043,-0.14147949,0.005493164,0.06689453,0.047576904,-0.103881836,0.03048706,-0.18933105,0.07305908,-0.022842407,-0.015914917,0.0018844604,0.0791626,0.14379883,-0.058532715,0.014541626,-0.07775879,0.010498047,-0.14099121,0.01235199,0.01486969,-0.11035156,-0.031463623,0.00242424,-0.15698242,-0.08666992,0.14245605,0.04269409,-0.07928467,-0.0135269165,-0.042877197,0.050323486,-0.016983032,0.10321045,0.11682129,-0.074279785,-0.03439331,-0.07696533,0.02357483,-0.18383789,0.015823364,-0.04119873]	\N
1	11	0	\N	[-0.07208252,0.08850098,-0.04824829,0.037902832,0.039398193,0.01826477,-0.027877808,-0.013221741,0.02885437,-0.11260986,-0.10357666,-0.1361084,0.011367798,-0.034484863,0.060180664,-0.1427002,0.20056152,0.026550293,-0.09613037,-0.13708496,-0.028121948,-0.07525635,-0.0569458,-0.044525146,-0.03363037,0.09051514,-0.040985107,-0.011077881,-0.075683594,0.076171875,0.049468994,-0.08532715,-0.036621094,-0.10455322,-0.10479736,-0.17382812,-0.13708496,0.057739258,-0.034362793,0.117126465,-0.02557373,0.072631836,-0.12817383,-0.01374054,0.075683594,-0.06945801,0.095458984,0.1217041,0.14038086,-0.0035820007,0.113586426,0.0059432983,0.16333008,-0.06994629,0.017471313,-0.057525635,0.034484863,0.031829834,-0.01525116,0.010818481,-0.10498047,-0.0022258759,-0.01864624,0.017044067,-0.14526367,-0.02746582,-0.059906006,-0.12646484,0.07128906,-0.024932861,0.0059661865,-0.13354492,0.17102051,0.11767578,-0.010734558,0.023452759,0.18005371,-0.11645508,-0.14538574,0.06665039,-0.04837036,0.00056552887,0.034118652,-0.1628418,-0.21118164,-0.026916504,-0.111206055,0.14453125,-0.06878662,-0.040802002,0.05026245,-0.03857422,0.0023498535,0.1887207,0.021850586,0.09765625,0.02986145,-0.12261963,-0.087402344,0.012451172,0.056152344,0.13378906,0.15283203,0.03579712,-0.017623901,0.027786255,0.041534424,0.008392334,-0.0592041,-0.07342529,0.012397766,-0.0054512024,0.029693604,-0.074401855,-0.0070152283,-0.12408447,0.16430664,0.02935791,-0.1472168,0.029815674,-0.08734131,0.055541992,0.12658691,0.17163086,-0.090148926,-0.01637268,0.06298828,-0.0501709]	\N
1	12	0	\N	[0.025421143,-0.10296631,-0.13635254,-0.007446289,0.18481445,0.033294678,0.075683594,-0.04196167,-0.0029563904,-0.13354492,-0.10180664,-0.08508301,0.1048584,-0.028930664,0.06878662,0.0053596497,0.11621094,-0.0016469955,0.16333008,0.055908203,-0.0070381165,-0.02947998,0.038848877,0.008857727,-0.16748047,-0.06561279,0.013343811,-7.265806e-05,-0.1274414,0.0033035278,0.0892334,-0.14465332,0.05419922,-0.02217102,-0.06542969,-0.1665039,0.018325806,-0.082458496,0.092163086,-0.056854248,-0.072021484,-0.105285645,0.0027980804,-0.034423828,0.116760254,0.078186035,0.024612427,-0.03945923,0.11651611,0.10699463,-0.20141602,0.107666016,-0.022125244,0.23010254,0.09063721,0.06542969,0.014717102,-0.018051147,0.0256958,0.033111572,0.07324219,0.07269287,0.296875,0.04800415,-0.08074951,0.026260376,0.14123535,-0.07220459,-0.13989258,-0.050994873,-0.02519226,-0.18103027,-0.011146545,-0.059417725,0.059814453,-0.037017822,0.007484436,-0.097595215,-0.044189453,0.115356445,0.1928711,0.07946777,-0.13049316,0.076293945,0.014160156,-0.08520508,-0.011077881,0.053771973,-0.017944336,0.1586914,-0.16638184,-0.064208984,-0.028305054,-0.040863037,-0.03201294,-0.17480469,-0.04208374,-0.080322266,0.0335083,0.003479004,-0.02532959,-0.08905029,-0.0037555695,0.059539795,-0.04937744,0.08319092,0.06774902,0.10064697,-0.0619812,-0.008293152,0.059326172,0.08068848,-0.032562256,-0.066345215,-0.0005264282,-0.07879639,0.10131836,0.06970215,-0.038482666,0.043395996,0.031402588,-0.109558105,-0.097473145,0.030807495,-0.05831909,0.030166626,0.054351807,0.040527344]	\N
1	13	0	\N	[0.14709473,-0.07623291,-0.024124146,-0.031234741,-0.021530151,0.2388916,0.05407715,-0.00019669533,-0.08984375,-0.115722656,-0.06768799,0.08514404,-0.088012695,0.011451721,0.034576416,0.22375488,0.072265625,-0.18920898,-0.0018882751,0.024795532,-0.059570312,-0.087402344,-0.093322754,-0.020980835,-0.12463379,-0.11602783,0.055389404,-0.15368652,0.047302246,0.013168335,0.03137207,0.016815186,-0.0069732666,0.010314941,0.05645752,-0.20861816,0.08062744,-0.034332275,0.10180664,0.03414917,-0.013366699,-0.050720215,-0.062347412,-0.015541077,0.029067993,-0.12634277,0.11242676,0.008483887,-0.16381836,0.09136963,0.027618408,-0.049224854,0.101135254,0.060028076,-0.013450623,0.10662842,-0.07171631,0.088256836,0.07141113,-0.03857422,0.0513916,0.08355713,-0.012870789,0.055786133,-0.033569336,0.13574219,-0.08050537,-0.04748535,0.093566895,0.117126465,-0.13378906,0.1616211,0.07714844,-0.00028800964,0.12988281,0.051574707,0.040130615,0.0619812,0.09552002,-0.03161621,-0.008331299,0.02079773,-0.08526611,-0.049682617,-0.032470703,-0.023208618,0.09979248,-0.1307373,0.008216858,-0.036834717,0.0670166,-0.04852295,-0.074401855,-0.066101074,0.13720703,0.047821045,0.026657104,0.030349731,0.15136719,0.11706543,0.07867432,0.013061523,-0.04208374,-0.08111572,-0.2109375,-0.08190918,0.03475952,0.004787445,-0.06323242,-0.055908203,-0.16271973,-0.022628784,-0.07141113,-0.048217773,-0.0848999,-0.08013916,0.11669922,0.101989746,-0.024032593,0.059173584,0.07550049,-0.125,0.119262695,-0.12890625,0.08630371,-0.1652832,0.059539795,-0.07110596]	\N
\.


--
-- Data for Name: embeddings_2; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.embeddings_2 (index_id, image_id, region, box, embedding, full_embedding) FROM stdin;
2	14	0	\N	[0.25341797,-0.03567505,0.03967285,0.0770874,-0.04562378,0.09484863,-0.070617676,-0.0758667,-0.028259277,0.08666992,-0.13452148,0.09832764,-0.21191406,-0.013023376,0.0038585663,0.09112549,-0.04333496,-0.12213135,0.10095215,0.06213379,0.04840088,-0.00022304058,-0.05404663,-0.04373169,-0.11566162,0.0119018555,-0.01234436,-0.058532715,-0.056274414,-0.026748657,-0.0015707016,-0.049835205,-0.034576416,0.049804688,0.09094238,0.008773804,-0.041992188,-0.05783081,-0.17980957,-0.04348755,0.109191895,-0.097717285,-0.072387695,-0.09844971,0.021026611,-0.059539795,0.008010864,-0.014015198,-0.0071105957,0.07733154,-0.07165527,-0.19189453,-0.00390625,-0.20617676,0.1015625,0.15454102,0.008857727,-0.0032672882,0.1307373,0.055023193,-0.09790039,-0.028869629,0.08190918,0.16357422,-0.034423828,0.070129395,-0.06286621,0.103881836,-0.030151367,0.053253174,0.009017944,0.0051345825,0.079589844,0.08721924,0.10888672,-0.00070905685,0.034576416,0.14501953,-0.051208496,0.046447754,-0.022033691,-0.06109619,-0.021347046,0.04083252,0.06304932,-0.08117676,0.008522034,-0.2902832,-0.009117126,-0.039031982,0.09539795,-0.07141113,-0.003835678,-0.18286133,0.14172363,-0.019973755,-0.09844971,0.12988281,0.15063477,0.15075684,0.01007843,-0.050750732,-0.00046873093,0.01525116,-0.15393066,-0.095947266,-0.11462402,0.05697632,0.05847168,0.022506714,-0.107421875,0.035125732,-0.023956299,0.08148193,-0.056030273,0.030166626,-0.059265137,-0.05645752,0.09350586,0.038238525,0.025100708,0.0007624626,-0.09436035,-0.13891602,-0.11816406,-0.105651855,0.027252197,-0.03353882]	\N
2	15	0	\N	[0.10687256,-0.16467285,-0.035369873,0.03579712,0.22924805,-0.00060272217,0.008598328,0.022201538,0.022598267,-0.06903076,-0.10247803,0.023345947,0.014602661,-0.01890564,0.088378906,-0.06573486,-0.07745361,0.08917236,0.18383789,0.064941406,-0.10522461,0.011016846,0.17651367,0.020950317,-0.06878662,-0.055847168,-0.11773682,0.0075416565,-0.07537842,-0.047058105,0.039276123,0.011276245,-0.04244995,-0.124816895,-0.08453369,-0.10864258,-0.11871338,0.01914978,0.064941406,-0.0050697327,-0.066711426,-0.2434082,0.027923584,-0.05899048,-0.012809753,0.011169434,0.058135986,0.06390381,0.09851074,0.23120117,-0.03994751,0.014579773,-0.081604004,0.0029830933,0.15881348,0.15698242,-0.023391724,-0.120910645,0.022247314,0.12512207,0.096191406,0.101379395,0.039215088,0.06100464,0.0029754639,-0.007827759,-0.0064201355,-0.03265381,-0.020248413,0.022491455,-0.062347412,-0.11810303,-0.08648682,0.14025879,-0.060699463,-0.055664062,-0.030212402,-0.0045204163,-0.019836426,0.030822754,0.140625,0.0015687943,0.092041016,0.15344238,-0.025543213,-0.050231934,-0.13024902,-0.09033203,-0.13244629,0.07910156,0.023086548,-0.064453125,0.06536865,-0.119262695,0.022354126,-0.14013672,-0.20251465,-0.08538818,0.032318115,0.036743164,0.0070877075,0.061676025,0.020584106,0.13293457,-0.10675049,0.049468994,0.08087158,0.028045654,0.007659912,0.023406982,0.01852417,-0.12213135,0.13562012,0.035736084,-0.10491943,0.064575195,-0.031585693,-0.04559326,-0.10247803,0.15673828,0.064697266,0.06945801,-0.12719727,0.12237549,-0.11651611,0.002773285,-0.036743164,-0.035064697]	\N
\.


--
-- Data for Name: feedback; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.feedback (id, query_id, search, image_id, rating, comment, fold, created_at, updated_at) FROM stdin;
1	1	84eccfe3-dfa8-44f4-954c-c785da135879	\N	8	\N	3	2026-11-29 23:11:25.346298+00	2026-11-29 23:11:25.346298+00
\.


--
-- Data for Name: feedback_queries; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.feedback_queries (id, index_id, digest, query, dimensions, embedding, created_at) FROM stdin;
1	1	\\x20791239db5a8203cecd367256671d64764213291e2558d28642e8048dd4dbf1	a green tree	128	[-0.10699463,0.16235352,-0.042144775,-0.051971436,0.041534424,-0.03527832,0.010269165,-0.0395813,-0.08026123,-0.07659912,-0.035247803,-0.08105469,-0.037384033,0.06768799,-0.014427185,-0.12939453,0.006996155,-0.0036506653,-0.078063965,-0.10845947,-0.0072898865,-0.006591797,0.055908203,-0.07080078,-0.04147339,0.10205078,-0.0635376,0.034820557,-0.03062439,0.0670166,0.010803223,-0.018859863,0.053771973,-0.13354492,-0.094177246,-0.12915039,-0.050476074,0.099609375,-0.024017334,0.16430664,-0.03768921,0.24047852,-0.008293152,-0.0060424805,0.02897644,-0.064086914,0.109558105,-0.016342163,0.044555664,-0.1427002,0.16223145,0.0056991577,0.0881958,-0.15588379,0.0017776489,-0.14562988,0.09399414,0.03717041,0.0026245117,0.02357483,-0.16125488,-0.08282471,-0.05117798,0.04598999,-0.09100342,-0.074279785,-0.01612854,-0.23962402,-0.10687256,-0.034484863,0.057556152,-0.055755615,0.11315918,0.018356323,-0.12414551,0.019622803,-0.023544312,-0.02684021,-0.08746338,-0.033843994,-0.042114258,0.008644104,-0.07055664,-0.09552002,-0.08630371,0.17346191,-0.084350586,0.12780762,-0.06726074,-0.095703125,0.062805176,-0.09954834,0.082092285,0.13549805,0.053649902,0.05429077,0.10070801,-0.038238525,-0.052581787,-0.083496094,0.038391113,0.1459961,0.13928223,0.024963379,0.07269287,0.06958008,-0.061706543,0.033203125,-0.13256836,-0.095458984,0.024612427,-0.074035645,0.14489746,-0.08453369,-0.058441162,-0.22521973,0.04437256,0.14758301,-0.1418457,-0.06994629,-0.022766113,0.042144775,0.025604248,0.14855957,0.064941406,-0.074157715,-0.0513916,0.044921875]	2026-11-29 23:11:25.346298+00
\.


--
-- Data for Name: images; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.images (id, collection_id, path, content_hash, etag, bytes, width, height, format, caption, metadata, created_at, origin, taken_at, perceptual_hash, removed_at, language) FROM stdin;
1	1	data/test_images/ambulance.jpg	\\xb0eab16d1bf523466c16c5482db65151ce38423886d6b771d6de58f78e167387	12635-1795992788148115349	12635	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	8720823109497010626	\N	english
2	1	data/test_images/banana.jpg	\\x77d056b2912e95bfd6ca8ebbdcf528550441d91169002ea90757f09cce89b534	10685-1795992788172115350	10685	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	922172031266245779	\N	english
3	1	data/test_images/bicycle.jpg	\\x38a4155fd8ca1522fe08d094cc7b1d92719cfb65543e6b6a8c629645a00a10c7	14712-1795992788176115350	14712	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	4054321774244504210	\N	english
4	1	data/test_images/blue-suv.gif	\\x778a8983823d20833bda7f6dbb8eff306d2574ca9e3481677c2a6c6898f512ec	24266-1795992788176115350	24266	384	384	GIF	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	7621803855244039291	\N	english
5	1	data/test_images/cat.jpg	\\x3ebd635b911d67a4200ff05f3cb5d2559bf4b5f7c9ee0242d4a69b223857ddd9	13305-1795992788224115351	13305	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	4076623630007587158	\N	english
6	1	data/test_images/dog.jpg	\\x07df9e6d7e0e30adabe305f08dd86df896e13dcc8e94dd01fcb8181171e6b2ac	14306-1795992788276115352	14306	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	1626383938378058857	\N	english
7	1	data/test_images/green-tree.jpg	\\x46b0cb7d310453d2c87cf1cbe46d30a1077ca2035cb1df93ffd825c862da5ed4	12367-1795992788372115355	12367	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	7244478045299816215	\N	english
8	1	data/test_images/rainbow.jpg	\\xfe4f5e3b94cb5bb9c1c71f1367b5826d5538b245d7fd4ed1da96f7a186ce48a0	14046-1795992788528115358	14046	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	3766640131725014886	\N	english
9	1	data/test_images/red-apple.jpg	\\xa1b2a81015c6a69339b1034b37f3da10452b115659cb0ffa561cf44af8cc5ee4	9525-1795992788532115358	9525	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	2708510804078390426	\N	english
10	1	data/test_images/sailboat.tif	\\x82df95fb18e39686eea8286db0113e0279683403c3d58729183f8936d31e558b	71404-1795992788616115360	71404	384	384	TIFF	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	5541577148842668400	\N	english
11	1	data/test_images/tree.jpg	\\xa87904d17723bd6175fa5f26bf4d03c8e915fb151b60bf8df25bc259e7604cd1	11767-1795992788816115365	11767	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	4524227798680442464	\N	english
12	1	data/test_images/zebra.jpg	\\x42208e87eb9f7facdedcfd8b08b4cccc37849f807bdf0bf513981417492519f8	15873-1795992788916115367	15873	384	384	JPEG	\N	{}	2026-11-29 23:11:10.299222+00	\N	\N	8364248200579998514	\N	english
13	1	data/test_uploads/91/913d69ae2e70e41cedff420f3347d0c265bc8e963f833d2193639d87a3ad58dd.jpg	\\x913d69ae2e70e41cedff420f3347d0c265bc8e963f833d2193639d87a3ad58dd	913d69ae2e70e41cedff420f3347d0c265bc8e963f833d2193639d87a3ad58dd	11076	384	384	JPEG	anchor.jpg	{"place": "Lisbon"}	2026-11-29 23:11:23.164586+00	anchor.jpg	\N	7210973739325188854	\N	english
14	2	data/test_uploads/collection-2/9e/9e48c7583d7f25eeb34a4e6c0ca0d039ae12691d6dc1e1205bbd80c1b50f51cd.jpg	\\x9e48c7583d7f25eeb34a4e6c0ca0d039ae12691d6dc1e1205bbd80c1b50f51cd	9e48c7583d7f25eeb34a4e6c0ca0d039ae12691d6dc1e1205bbd80c1b50f51cd	18467	384	384	JPEG	airplane.jpg	{"place": "Porto"}	2026-11-29 23:11:23.607183+00	airplane.jpg	\N	7572471175745582140	\N	english
15	2	data/test_uploads/collection-2/cf/cf7ebb2a6749de1c8374d3616c320dcca9fd1cd6225bc11733f1f9b84f4850fa.webp	\\xcf7ebb2a6749de1c8374d3616c320dcca9fd1cd6225bc11733f1f9b84f4850fa	cf7ebb2a6749de1c8374d3616c320dcca9fd1cd6225bc11733f1f9b84f4850fa	7470	384	384	WEBP	castle.webp	{"place": "Sintra"}	2026-11-29 23:11:24.493707+00	castle.webp	\N	7684061376480187242	\N	english
\.


--
-- Data for Name: job_items; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.job_items (id, job_id, path, etag, bytes, removal, staged, caption, metadata, state, outcome, reason, attempts, leases, worker, image_id, updated_at) FROM stdin;
1	1	data/test_images/ambulance.jpg	12635-1795992788148115349	12635	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	1	2026-11-29 23:11:10.299222+00
2	1	data/test_images/banana.jpg	10685-1795992788172115350	10685	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	2	2026-11-29 23:11:10.299222+00
3	1	data/test_images/bicycle.jpg	14712-1795992788176115350	14712	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	3	2026-11-29 23:11:10.299222+00
4	1	data/test_images/blue-suv.gif	24266-1795992788176115350	24266	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	4	2026-11-29 23:11:10.299222+00
5	1	data/test_images/cat.jpg	13305-1795992788224115351	13305	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	5	2026-11-29 23:11:10.299222+00
6	1	data/test_images/dog.jpg	14306-1795992788276115352	14306	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	6	2026-11-29 23:11:10.299222+00
7	1	data/test_images/green-tree.jpg	12367-1795992788372115355	12367	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	7	2026-11-29 23:11:10.299222+00
8	1	data/test_images/rainbow.jpg	14046-1795992788528115358	14046	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	8	2026-11-29 23:11:10.299222+00
9	1	data/test_images/red-apple.jpg	9525-1795992788532115358	9525	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	9	2026-11-29 23:11:10.299222+00
10	1	data/test_images/sailboat.tif	71404-1795992788616115360	71404	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	10	2026-11-29 23:11:10.299222+00
11	1	data/test_images/tree.jpg	11767-1795992788816115365	11767	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	11	2026-11-29 23:11:10.299222+00
12	1	data/test_images/zebra.jpg	15873-1795992788916115367	15873	f	\N	\N	null	succeeded	added	\N	1	1	vm:25945	12	2026-11-29 23:11:10.299222+00
13	2	anchor.jpg		\N	f	\N	anchor.jpg	{"place": "Lisbon"}	succeeded	added	\N	1	1	vm:25945	13	2026-11-29 23:11:23.164586+00
14	3	airplane.jpg		\N	f	\N	airplane.jpg	{"place": "Porto"}	succeeded	added	\N	1	1	vm:25945	14	2026-11-29 23:11:23.607183+00
15	4	castle.webp		\N	f	\N	castle.webp	{"place": "Sintra"}	succeeded	added	\N	1	1	vm:25945	15	2026-11-29 23:11:24.493707+00
\.


--
-- Data for Name: jobs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.jobs (id, collection_id, source, mode, dry_run, queue, state, reason, checkpoint, listed, total, added, changed, moved, removed, unchanged, duplicate, gone, failed, cancelled, created_at, started_at, updated_at, finished_at) FROM stdin;
1	1	{"folder": "/srv/image-search/data/test_images"}	add	f	disk e71c2cf2daaf4e918a9283d85a3c4235	succeeded	\N	data/test_images/zebra.jpg	t	12	12	0	0	0	0	0	0	0	0	2026-11-29 23:11:03.775368+00	2026-11-29 23:11:05.046021+00	2026-11-29 23:11:20.844808+00	2026-11-29 23:11:20.844808+00
2	1	{"files": 1}	add	f	disk e71c2cf2daaf4e918a9283d85a3c4235	succeeded	\N	\N	t	1	1	0	0	0	0	0	0	0	0	2026-11-29 23:11:22.853726+00	2026-11-29 23:11:22.953779+00	2026-11-29 23:11:23.349304+00	2026-11-29 23:11:23.349304+00
3	2	{"files": 1}	add	f	disk e71c2cf2daaf4e918a9283d85a3c4235	succeeded	\N	\N	t	1	1	0	0	0	0	0	0	0	0	2026-11-29 23:11:23.425318+00	2026-11-29 23:11:23.498802+00	2026-11-29 23:11:23.847045+00	2026-11-29 23:11:23.847045+00
4	2	{"files": 1}	add	f	disk e71c2cf2daaf4e918a9283d85a3c4235	succeeded	\N	\N	t	1	1	0	0	0	0	0	0	0	0	2026-11-29 23:11:23.967354+00	2026-11-29 23:11:24.04679+00	2026-11-29 23:11:24.654788+00	2026-11-29 23:11:24.654788+00
\.


--
-- Data for Name: procrastinate_events; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.procrastinate_events (id, job_id, type, at) FROM stdin;
\.


--
-- Data for Name: procrastinate_jobs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.procrastinate_jobs (id, queue_name, task_name, priority, lock, queueing_lock, args, status, scheduled_at, attempts, abort_requested, worker_id) FROM stdin;
\.


--
-- Data for Name: procrastinate_periodic_defers; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.procrastinate_periodic_defers (id, task_name, defer_timestamp, job_id, periodic_id) FROM stdin;
\.


--
-- Data for Name: procrastinate_workers; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.procrastinate_workers (id, last_heartbeat) FROM stdin;
1	2026-11-29 23:11:25.041029+00
\.


--
-- Data for Name: vector_indexes; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.vector_indexes (id, collection_id, model, pretrained, fingerprint, dimensions, m, ef_construction, state, created_at, storage, ef_search, chance, trial) FROM stdin;
1	1	demo model		325b3fcd3b256b0e863d9d26492fd7da8743b3d206efd9773641d8c021044fc0	128	16	64	active	2026-11-29 23:11:03.487686+00	halfvec	\N	\\x000000000000f03f00000000000028401ace2515e951d53f6f0fb3761c7ddc3f6237142fa6ade83fd5968e610816b03f602395df7111ba3fb29d8a597833d63f000000806134903f0000000069538fbf000000e066d772bf00000000781e883f0000006083ea8a3f00000000d48d6b3f00000000f436783f000000e028bb78bf00000040c92b78bf000000804c6181bf00000040344697bf0000004059bc723f00000020037d3dbf000000e013807abf000000c011b18d3f000000e0db3c6b3f000000e0accf7a3f00000040ad1488bf00000020188c703f00000020e43681bf00000040206c683f000000a02b7f653f000000c056d5743f00000020efea713f000000404f2b85bf000000c0c4d283bf000000a0ff0767bf00000060896280bf000000409cb16e3f000000c07790843f00000040b337693f000000609dbe683f00000060b4066ebf000000200f3f75bf00000000be6348bf000000406d5180bf000000406d92533f000000a074816b3f000000207a7a643f000000c054f68b3f00000060f796693f00000020876b92bf000000c0d1d192bf000000607963723f00000080ac1c883f000000a0f4989bbf000000404b63843f00000000cbfb773f000000a03ea3723f0000000044b9783f000000006f77363f000000c0469f5cbf000000401c697f3f00000040df2871bf000000e03699773f00000000c5f8843f000000c0c1b552bf000000804eba753f000000008474853f000000e0c2bd873f00000080ce0643bf00000040645a863f00000000f76177bf000000e0c7a7923f000000e060226cbf000000801663913f0000008094a95c3f000000e0ac454abf000000c043e6733f000000402359683f00000080d42686bf0000004087316abf0000000018ba8d3f000000c0a73f8e3f00000040d32963bf00000000caf0333f00000000fc022ebf000000e0ba458e3f000000805694623f000000c0836b51bf00000000ccd36a3f0000004077456dbf000000208375673f000000000e652dbf0000000077b675bf000000c0dba057bf000000a00d1979bf00000000f79731bf00000000dc6a96bf00000080c3565f3f0000006023fb833f00000080123d88bf00000000f054f3be000000a0e2b67ebf000000802530873f000000c0ac4b443f000000802b1c86bf000000e00a8e6bbf00000080dd75793f00000040f09d873f000000806b3f733f000000409cf8683f00000040e3297cbf000000402dc08f3f00000000ae798fbf00000080d109eb3e0000004094374fbf000000c08a307f3f00000000addf153f000000a0a09b86bf00000060354672bf00000000e2ff5d3f000000c04e5c85bf00000000a6c976bf000000c0376c64bf000000a0181677bf000000c0ede0823f00000080dd0a50bf00000040115a83bf000000202f80723f000000007e024ebf00000060865970bf0000000000b9ba3e000000e0456d2fbf000000004e510bbf000000a072d199bf000000802640583f000000c00e8f1b3f	\N
2	2	demo model		325b3fcd3b256b0e863d9d26492fd7da8743b3d206efd9773641d8c021044fc0	128	16	64	active	2026-11-29 23:11:22.667055+00	halfvec	\N	\\x000000000000f03f0000000000000040b79d29dadf04b53f00000000000049c000000000000049c0e7ca04a4d361b93f000000000000f03f000000000000f03f000000005cc5ac3f000000c0795ba2bf0000008017ce243f000000e0e8519b3f00000080fbae993f000000e022a6893f000000800ca863bf00000060985d76bf0000002028aa79bf000000604d1f72bf000000e0af1dabbf00000060abe9953f0000004049cd98bf00000000e59b63bf000000e0a396953f00000040544565bf000000a0cb1286bf000000c0c6748cbf000000607359a33f000000002ed96a3f00000000d81a16bf000000c0365c843f000000c0ec998d3f00000000fcaa6a3f0000002042d499bf0000008045138abf000000608fae93bf00000000fa6e92bf000000003be264bf0000008008c6633f0000008024ec59bf000000808a6e753f000000c02b5c87bf000000e0671b82bf000000c0bb74693f000000409d588abf000000c0d0cb95bf00000000a56e7ebf0000000098c18fbf00000020d96f813f000000008b06903f00000020a726aabf00000000982299bf00000000575b86bf000000205391833f0000006075dfa2bf00000000e227913f000000e0a321863f00000080a464813f000000c0c0f1a63f000000e0ec8e7cbf00000000a95395bf000000606e3274bf0000008001799ebf00000000985ca23f000000207111aa3f00000080e95631bf000000c0e13275bf000000c03428983f00000020b0baa03f00000040ae0075bf00000040b6e5933f000000c034607a3f000000a0ff7ca53f00000040713e70bf00000080c0ef9d3f000000001784673f0000006002d6843f00000080c9d1673f00000000670f863f00000000f92e86bf000000a09ab686bf000000803b4b763f00000060be47a33f00000040f35c723f000000c03ddc82bf000000c0e23d87bf000000806882a23f000000204b8671bf000000009235563f000000a072db883f0000008084b285bf000000a0412e823f000000601180943f000000c0487f693f00000080e2d189bf000000807e268abf000000608b0aa7bf000000802fd0a5bf000000809c4856bf000000e0ee72953f00000080d0d49fbf000000e00394843f000000a0ba5ba7bf00000020e321a23f00000040252993bf000000204fafa6bf00000000205a2abf000000a04753983f00000080fff89f3f000000e00e08703f00000060320e673f000000c0a2157ebf0000000042aba13f00000040bb0fa7bf000000a0554577bf000000c00bee64bf00000020e5bf973f000000408dee833f00000060659080bf000000c07c3e8fbf00000020c91176bf00000000bf7a583f000000002823593f00000000d66790bf0000000020e1643f00000080662a77bf0000000081738fbf000000e083917bbf0000006005d99a3f000000a030f4773f000000806315673f000000000db398bf000000407f765dbf00000020a75e9fbf000000e0f30aa4bf00000000812682bf0000002046db81bf	\N
\.


--
-- Name: api_keys_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.api_keys_id_seq', 1, false);


--
-- Name: collections_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.collections_id_seq', 2, true);


--
-- Name: feedback_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.feedback_id_seq', 1, true);


--
-- Name: feedback_queries_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.feedback_queries_id_seq', 1, true);


--
-- Name: images_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.images_id_seq', 15, true);


--
-- Name: job_items_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.job_items_id_seq', 15, true);


--
-- Name: jobs_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.jobs_id_seq', 4, true);


--
-- Name: procrastinate_events_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.procrastinate_events_id_seq', 18, true);


--
-- Name: procrastinate_jobs_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.procrastinate_jobs_id_seq', 9, true);


--
-- Name: procrastinate_periodic_defers_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.procrastinate_periodic_defers_id_seq', 1, false);


--
-- Name: procrastinate_workers_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.procrastinate_workers_id_seq', 1, true);


--
-- Name: vector_indexes_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.vector_indexes_id_seq', 2, true);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: api_keys api_keys_hash_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_hash_key UNIQUE (hash);


--
-- Name: api_keys api_keys_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);


--
-- Name: collections collections_namespace_name_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.collections
    ADD CONSTRAINT collections_namespace_name_key UNIQUE (namespace, name);


--
-- Name: collections collections_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.collections
    ADD CONSTRAINT collections_pkey PRIMARY KEY (id);


--
-- Name: embeddings embeddings_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.embeddings
    ADD CONSTRAINT embeddings_pkey PRIMARY KEY (index_id, image_id, region);


--
-- Name: embeddings_1 embeddings_1_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.embeddings_1
    ADD CONSTRAINT embeddings_1_pkey PRIMARY KEY (index_id, image_id, region);


--
-- Name: embeddings_2 embeddings_2_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.embeddings_2
    ADD CONSTRAINT embeddings_2_pkey PRIMARY KEY (index_id, image_id, region);


--
-- Name: feedback feedback_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.feedback
    ADD CONSTRAINT feedback_pkey PRIMARY KEY (id);


--
-- Name: feedback_queries feedback_queries_index_id_digest_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.feedback_queries
    ADD CONSTRAINT feedback_queries_index_id_digest_key UNIQUE (index_id, digest);


--
-- Name: feedback_queries feedback_queries_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.feedback_queries
    ADD CONSTRAINT feedback_queries_pkey PRIMARY KEY (id);


--
-- Name: images images_collection_id_path_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_collection_id_path_key UNIQUE (collection_id, path);


--
-- Name: images images_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_pkey PRIMARY KEY (id);


--
-- Name: job_items job_items_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.job_items
    ADD CONSTRAINT job_items_pkey PRIMARY KEY (id);


--
-- Name: jobs jobs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);


--
-- Name: procrastinate_events procrastinate_events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_events
    ADD CONSTRAINT procrastinate_events_pkey PRIMARY KEY (id);


--
-- Name: procrastinate_jobs procrastinate_jobs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_jobs
    ADD CONSTRAINT procrastinate_jobs_pkey PRIMARY KEY (id);


--
-- Name: procrastinate_periodic_defers procrastinate_periodic_defers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_periodic_defers
    ADD CONSTRAINT procrastinate_periodic_defers_pkey PRIMARY KEY (id);


--
-- Name: procrastinate_periodic_defers procrastinate_periodic_defers_unique; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_periodic_defers
    ADD CONSTRAINT procrastinate_periodic_defers_unique UNIQUE (task_name, periodic_id, defer_timestamp);


--
-- Name: procrastinate_workers procrastinate_workers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_workers
    ADD CONSTRAINT procrastinate_workers_pkey PRIMARY KEY (id);


--
-- Name: vector_indexes vector_indexes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.vector_indexes
    ADD CONSTRAINT vector_indexes_pkey PRIMARY KEY (id);


--
-- Name: embeddings_1_hnsw_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX embeddings_1_hnsw_idx ON public.embeddings_1 USING hnsw (((embedding)::public.halfvec(128)) public.halfvec_cosine_ops) WITH (m='16', ef_construction='64');


--
-- Name: embeddings_image_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX embeddings_image_id_idx ON ONLY public.embeddings USING btree (image_id);


--
-- Name: embeddings_1_image_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX embeddings_1_image_id_idx ON public.embeddings_1 USING btree (image_id);


--
-- Name: embeddings_2_hnsw_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX embeddings_2_hnsw_idx ON public.embeddings_2 USING hnsw (((embedding)::public.halfvec(128)) public.halfvec_cosine_ops) WITH (m='16', ef_construction='64');


--
-- Name: embeddings_2_image_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX embeddings_2_image_id_idx ON public.embeddings_2 USING btree (image_id);


--
-- Name: feedback_judgement_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX feedback_judgement_idx ON public.feedback USING btree (query_id, search, COALESCE(image_id, (0)::bigint));


--
-- Name: feedback_queries_128_hnsw_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX feedback_queries_128_hnsw_idx ON public.feedback_queries USING hnsw (((embedding)::public.halfvec(128)) public.halfvec_cosine_ops) WHERE (dimensions = 128);


--
-- Name: feedback_query_id_image_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX feedback_query_id_image_id_idx ON public.feedback USING btree (query_id, image_id);


--
-- Name: feedback_updated_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX feedback_updated_at_idx ON public.feedback USING btree (updated_at);


--
-- Name: idx_procrastinate_jobs_worker_not_null; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_procrastinate_jobs_worker_not_null ON public.procrastinate_jobs USING btree (worker_id) WHERE ((worker_id IS NOT NULL) AND (status = 'doing'::public.procrastinate_job_status));


--
-- Name: idx_procrastinate_workers_last_heartbeat; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX idx_procrastinate_workers_last_heartbeat ON public.procrastinate_workers USING btree (last_heartbeat);


--
-- Name: images_2_place_text; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX images_2_place_text ON public.images USING btree ("left"(
CASE
    WHEN (jsonb_typeof((metadata -> 'place'::text)) = 'string'::text) THEN (metadata ->> 'place'::text)
    ELSE NULL::text
END, 200) COLLATE "C", id) WHERE (collection_id = 2);


--
-- Name: images_collection_id_content_hash_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX images_collection_id_content_hash_idx ON public.images USING btree (collection_id, content_hash);


--
-- Name: images_collection_id_created_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX images_collection_id_created_at_idx ON public.images USING btree (collection_id, created_at);


--
-- Name: images_collection_id_taken_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX images_collection_id_taken_at_idx ON public.images USING btree (collection_id, taken_at);


--
-- Name: images_present_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX images_present_idx ON public.images USING btree (collection_id, id) WHERE (removed_at IS NULL);


--
-- Name: images_removed_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX images_removed_idx ON public.images USING btree (id) WHERE (removed_at IS NOT NULL);


--
-- Name: images_words_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX images_words_idx ON public.images USING gin (words);


--
-- Name: job_items_job_id_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX job_items_job_id_id_idx ON public.job_items USING btree (job_id, id);


--
-- Name: job_items_job_id_state_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX job_items_job_id_state_id_idx ON public.job_items USING btree (job_id, state, id);


--
-- Name: jobs_open_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX jobs_open_idx ON public.jobs USING btree (id) WHERE (finished_at IS NULL);


--
-- Name: procrastinate_events_job_id_fkey_v1; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX procrastinate_events_job_id_fkey_v1 ON public.procrastinate_events USING btree (job_id);


--
-- Name: procrastinate_jobs_id_lock_idx_v1; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX procrastinate_jobs_id_lock_idx_v1 ON public.procrastinate_jobs USING btree (id, lock) WHERE (status = ANY (ARRAY['todo'::public.procrastinate_job_status, 'doing'::public.procrastinate_job_status]));


--
-- Name: procrastinate_jobs_lock_idx_v1; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX procrastinate_jobs_lock_idx_v1 ON public.procrastinate_jobs USING btree (lock) WHERE (status = 'doing'::public.procrastinate_job_status);


--
-- Name: procrastinate_jobs_priority_idx_v1; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX procrastinate_jobs_priority_idx_v1 ON public.procrastinate_jobs USING btree (priority DESC, id) WHERE (status = 'todo'::public.procrastinate_job_status);


--
-- Name: procrastinate_jobs_queue_name_idx_v1; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX procrastinate_jobs_queue_name_idx_v1 ON public.procrastinate_jobs USING btree (queue_name);


--
-- Name: procrastinate_jobs_queueing_lock_idx_v1; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX procrastinate_jobs_queueing_lock_idx_v1 ON public.procrastinate_jobs USING btree (queueing_lock) WHERE (status = 'todo'::public.procrastinate_job_status);


--
-- Name: procrastinate_periodic_defers_job_id_fkey_v1; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX procrastinate_periodic_defers_job_id_fkey_v1 ON public.procrastinate_periodic_defers USING btree (job_id);


--
-- Name: vector_indexes_one_active_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX vector_indexes_one_active_idx ON public.vector_indexes USING btree (collection_id) WHERE (state = 'active'::text);


--
-- Name: embeddings_1_image_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.embeddings_image_id_idx ATTACH PARTITION public.embeddings_1_image_id_idx;


--
-- Name: embeddings_1_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.embeddings_pkey ATTACH PARTITION public.embeddings_1_pkey;


--
-- Name: embeddings_2_image_id_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.embeddings_image_id_idx ATTACH PARTITION public.embeddings_2_image_id_idx;


--
-- Name: embeddings_2_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.embeddings_pkey ATTACH PARTITION public.embeddings_2_pkey;


--
-- Name: procrastinate_jobs procrastinate_jobs_notify_queue_job_aborted_v1; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER procrastinate_jobs_notify_queue_job_aborted_v1 AFTER UPDATE OF abort_requested ON public.procrastinate_jobs FOR EACH ROW WHEN (((old.abort_requested = false) AND (new.abort_requested = true) AND (new.status = 'doing'::public.procrastinate_job_status))) EXECUTE FUNCTION public.procrastinate_notify_queue_abort_job_v1();


--
-- Name: procrastinate_jobs procrastinate_jobs_notify_queue_job_inserted_v1; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER procrastinate_jobs_notify_queue_job_inserted_v1 AFTER INSERT ON public.procrastinate_jobs FOR EACH ROW WHEN ((new.status = 'todo'::public.procrastinate_job_status)) EXECUTE FUNCTION public.procrastinate_notify_queue_job_inserted_v1();


--
-- Name: procrastinate_jobs procrastinate_trigger_abort_requested_events_v1; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER procrastinate_trigger_abort_requested_events_v1 AFTER UPDATE OF abort_requested ON public.procrastinate_jobs FOR EACH ROW WHEN ((new.abort_requested = true)) EXECUTE FUNCTION public.procrastinate_trigger_abort_requested_events_procedure_v1();


--
-- Name: procrastinate_jobs procrastinate_trigger_delete_jobs_v1; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER procrastinate_trigger_delete_jobs_v1 BEFORE DELETE ON public.procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION public.procrastinate_unlink_periodic_defers_v1();


--
-- Name: procrastinate_jobs procrastinate_trigger_scheduled_events_v1; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER procrastinate_trigger_scheduled_events_v1 AFTER INSERT OR UPDATE ON public.procrastinate_jobs FOR EACH ROW WHEN (((new.scheduled_at IS NOT NULL) AND (new.status = 'todo'::public.procrastinate_job_status))) EXECUTE FUNCTION public.procrastinate_trigger_function_scheduled_events_v1();


--
-- Name: procrastinate_jobs procrastinate_trigger_status_events_insert_v1; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER procrastinate_trigger_status_events_insert_v1 AFTER INSERT ON public.procrastinate_jobs FOR EACH ROW WHEN ((new.status = 'todo'::public.procrastinate_job_status)) EXECUTE FUNCTION public.procrastinate_trigger_function_status_events_insert_v1();


--
-- Name: procrastinate_jobs procrastinate_trigger_status_events_update_v1; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER procrastinate_trigger_status_events_update_v1 AFTER UPDATE OF status ON public.procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION public.procrastinate_trigger_function_status_events_update_v1();


--
-- Name: embeddings embeddings_image_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.embeddings
    ADD CONSTRAINT embeddings_image_id_fkey FOREIGN KEY (image_id) REFERENCES public.images(id) ON DELETE CASCADE;


--
-- Name: embeddings embeddings_index_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.embeddings
    ADD CONSTRAINT embeddings_index_id_fkey FOREIGN KEY (index_id) REFERENCES public.vector_indexes(id);


--
-- Name: feedback_queries feedback_queries_index_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.feedback_queries
    ADD CONSTRAINT feedback_queries_index_id_fkey FOREIGN KEY (index_id) REFERENCES public.vector_indexes(id) ON DELETE CASCADE;


--
-- Name: feedback feedback_query_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.feedback
    ADD CONSTRAINT feedback_query_id_fkey FOREIGN KEY (query_id) REFERENCES public.feedback_queries(id) ON DELETE CASCADE;


--
-- Name: images images_collection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.images
    ADD CONSTRAINT images_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES public.collections(id) ON DELETE CASCADE;


--
-- Name: job_items job_items_job_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.job_items
    ADD CONSTRAINT job_items_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;


--
-- Name: jobs jobs_collection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES public.collections(id) ON DELETE CASCADE;


--
-- Name: procrastinate_events procrastinate_events_job_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_events
    ADD CONSTRAINT procrastinate_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.procrastinate_jobs(id) ON DELETE CASCADE;


--
-- Name: procrastinate_jobs procrastinate_jobs_worker_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_jobs
    ADD CONSTRAINT procrastinate_jobs_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES public.procrastinate_workers(id) ON DELETE SET NULL;


--
-- Name: procrastinate_periodic_defers procrastinate_periodic_defers_job_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.procrastinate_periodic_defers
    ADD CONSTRAINT procrastinate_periodic_defers_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.procrastinate_jobs(id);


--
-- Name: vector_indexes vector_indexes_collection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.vector_indexes
    ADD CONSTRAINT vector_indexes_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES public.collections(id) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--

\unrestrict rmulfVpFfuij7zR6aXAIp8ST6P7JKRUduYn6vc1yHqmnOnBLRThDCQSho9iKqNi
