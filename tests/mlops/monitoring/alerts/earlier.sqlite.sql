BEGIN TRANSACTION;
CREATE TABLE alerts (
	id INTEGER NOT NULL, 
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
	first_seen DATETIME NOT NULL, 
	last_seen DATETIME NOT NULL, 
	window_start DATETIME, 
	window_end DATETIME, 
	window_rows INTEGER NOT NULL, 
	reference TEXT NOT NULL, 
	current TEXT NOT NULL, 
	clear_windows INTEGER NOT NULL, 
	acknowledged_by TEXT NOT NULL, 
	why TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "alerts" VALUES(1,'drift','ticket','acknowledged','delay','3','x','ks','x moved',0.4,0.1,0.001,'2026-11-25 06:24:14.826961','2026-11-25 06:24:14.826961','2026-01-02 03:00:00.000000','2026-01-02 03:00:00.000000',2000,'[["a", "b"], [0.5, 0.5]]','[["a", "b"], [0.5, 0.5]]',0,'ann','known');
INSERT INTO "alerts" VALUES(2,'drift','ticket','resolved','delay','3','y','ks','y moved',0.4,0.1,0.001,'2026-11-25 06:24:14.828428','2026-11-25 06:24:14.828428','2026-01-02 03:00:00.000000','2026-01-02 03:00:00.000000',2000,'[["a", "b"], [0.5, 0.5]]','[["a", "b"], [0.5, 0.5]]',3,'','');
INSERT INTO "alerts" VALUES(3,'performance','page','firing','delay','3','rmse','ks','rmse moved',0.4,0.1,0.001,'2026-11-25 06:24:14.828989','2026-11-25 06:24:14.828989','2026-01-02 03:00:00.000000','2026-01-02 03:00:00.000000',2000,'[["a", "b"], [0.5, 0.5]]','[["a", "b"], [0.5, 0.5]]',0,'','');
CREATE TABLE places (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "places" VALUES('log:delay','7');
CREATE TABLE windows (
	id INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	version TEXT NOT NULL, 
	start DATETIME, 
	"end" DATETIME, 
	rows INTEGER NOT NULL, 
	drifted TEXT NOT NULL, 
	metric TEXT NOT NULL, 
	quality FLOAT, 
	labelled INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "windows" VALUES(1,'delay','3','2026-01-02 03:00:00.000000','2026-01-02 03:00:00.000000',2000,'["x"]','',NULL,0);
COMMIT;
