package db

import "database/sql"

// Writer and Readers give the tests the pools, for what no method of the package does.
func (d *DB) Writer() *sql.DB { return d.writer }

func (d *DB) Readers() *sql.DB { return d.reader }
