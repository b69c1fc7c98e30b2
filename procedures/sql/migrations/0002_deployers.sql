-- 2: deployers, who need not be members of the owner.

DO $migration$ BEGIN END $migration$;
