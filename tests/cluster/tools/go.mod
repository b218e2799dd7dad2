module cluster/tools

go 1.24
