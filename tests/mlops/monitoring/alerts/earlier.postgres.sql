CREATE TABLE alerts (
	id SERIAL NOT NULL, 
	kind TEXT NOT NULL, 
	severity TEXT NOT NULL, 
	state TEXT NOT NULL, 
	model TEXT NOT NULL, 
	version TEXT NOT NULL, 
	feature TEXT NOT NULL, 
	statistic TEXT NOT NULL, 
	summary TEXT NOT NULL, 
	value FLOAT NOT NULL, 
	threshold FLOAT NOT NULL, 
	p_value FLOAT NOT NULL, 
	first_seen TIMESTAMP WITH TIME ZONE NOT NULL, 
	last_seen TIMESTAMP WITH TIME ZONE NOT NULL, 
	window_start TIMESTAMP WITH TIME ZONE, 
	window_end TIMESTAMP WITH TIME ZONE, 
	window_rows INTEGER NOT NULL, 
	reference TEXT NOT NULL, 
	current TEXT NOT NULL, 
	clear_windows INTEGER NOT NULL, 
	acknowledged_by TEXT NOT NULL, 
	why TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "alerts" ("id","kind","severity","state","model","version","feature","statistic","summary","value","threshold","p_value","first_seen","last_seen","window_start","window_end","window_rows","reference","current","clear_windows","acknowledged_by","why") VALUES (1,'drift','ticket','acknowledged','delay','3','x','ks','x moved',0.4,0.1,0.001,'2026-11-25 06:24:14.826961','2026-11-25 06:24:14.826961','2026-01-02 03:00:00.000000','2026-01-02 03:00:00.000000',2000,'[["a", "b"], [0.5, 0.5]]','[["a", "b"], [0.5, 0.5]]',0,'ann','known');
INSERT INTO "alerts" ("id","kind","severity","state","model","version","feature","statistic","summary","value","threshold","p_value","first_seen","last_seen","window_start","window_end","window_rows","reference","current","clear_windows","acknowledged_by","why") VALUES (2,'drift','ticket','resolved','delay','3','y','ks','y moved',0.4,0.1,0.001,'2026-11-25 06:24:14.828428','2026-11-25 06:24:14.828428','2026-01-02 03:00:00.000000','2026-01-02 03:00:00.000000',2000,'[["a", "b"], [0.5, 0.5]]','[["a", "b"], [0.5, 0.5]]',3,'','');
INSERT INTO "alerts" ("id","kind","severity","state","model","version","feature","statistic","summary","value","threshold","p_value","first_seen","last_seen","window_start","window_end","window_rows","reference","current","clear_windows","acknowledged_by","why") VALUES (3,'performance','page','firing','delay','3','rmse','ks','rmse moved',0.4,0.1,0.001,'2026-11-25 06:24:14.828989','2026-11-25 06:24:14.828989','2026-01-02 03:00:00.000000','2026-01-02 03:00:00.000000',2000,'[["a", "b"], [0.5, 0.5]]','[["a", "b"], [0.5, 0.5]]',0,'','');
SELECT setval(pg_get_serial_sequence('alerts','id'), 100);
CREATE TABLE windows (
	id SERIAL NOT NULL, 
	model TEXT NOT NULL, 
	version TEXT NOT NULL, 
	start TIMESTAMP WITH TIME ZONE, 
	"end" TIMESTAMP WITH TIME ZONE, 
	rows INTEGER NOT NULL, 
	drifted TEXT NOT NULL, 
	metric TEXT NOT NULL, 
	quality FLOAT, 
	labelled INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "windows" ("id","model","version","start","end","rows","drifted","metric","quality","labelled") VALUES (1,'delay','3','2026-01-02 03:00:00.000000','2026-01-02 03:00:00.000000',2000,'["x"]','',NULL,0);
SELECT setval(pg_get_serial_sequence('windows','id'), 100);
CREATE TABLE places (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "places" ("name","value") VALUES ('log:delay','7');
