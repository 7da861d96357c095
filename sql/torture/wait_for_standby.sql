-- From the next reload on commits wait until the standby of this name has them, too.
alter system set synchronous_standby_names = ':name'
