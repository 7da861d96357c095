-- The schema in one line, to compare two databases by.
select md5(concat_ws('/',
    (select string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default), ',' order by table_name, column_name)
       from information_schema.columns where table_schema = 'tenure'),
    (select string_agg(concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)), ',' order by conrelid::regclass::text, conname)
       from pg_constraint where connamespace = 'tenure'::regnamespace),
    (select string_agg(indexdef, ',' order by indexname) from pg_indexes where schemaname = 'tenure'),
    (select string_agg(proname || md5(prosrc), ',' order by proname) from pg_proc where pronamespace = 'tenure'::regnamespace),
    (select string_agg(tgname, ',' order by tgname) from pg_trigger where not tgisinternal),
    (select string_agg(concat_ws(' ', version, name, checksum), ',' order by version) from tenure.schema_history))) as schema
