-- An index of open actions by software answered one question, whether one is
-- about an image that is to be deleted, and each write to an action had to open
-- it. A walk over the tenant's open actions answers it as well.

SET LOCAL ROLE goosebit_owner;

DROP INDEX goosebit.action_software;
