"""Networks that were trained elsewhere: published weights by name, files of users, made to fit a data set."""
