"""Who may call, how much, and what it cost: keys, plans, a waiting list, metering exact to the token, an
audit log.

`service.Accounts` is what the server holds. All that is durable lies in one database (SQLite or PostgreSQL);
all that changes usage goes through one writer, many changes to a transaction.
"""
