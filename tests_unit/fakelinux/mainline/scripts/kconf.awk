# A few lines of Kconfig: resolve settings against the symbols that the tree declares.
# usage: awk [-v none=1] -f kconf.awk [SETTINGS] Kconfig; without defaults if *none*.
BEGIN { print "# Automatically generated file; DO NOT EDIT.\n# Linux/arm64 Kernel Configuration" }
/^CONFIG_/ { at = index($0, "="); wanted[substr($0, 8, at - 8)] = substr($0, at + 1) }
/^# CONFIG_.* is not set/ { wanted[substr($2, 8)] = "n" }
/^config/ { symbol = $2; order[++count] = symbol; value[symbol] = (symbol in wanted) ? wanted[symbol] : "n" }
$1 == "default" && !(symbol in wanted) && !none { value[symbol] = $2 }
$1 == "depends" && value[$3] == "n" { value[symbol] = "n" }
$1 == "select" { selected[symbol] = $2 }
END {
	for (symbol in selected)
		if (value[symbol] != "n") value[selected[symbol]] = value[symbol]
	for (i = 1; i <= count; i++)
		print (value[order[i]] == "n") ? "# CONFIG_" order[i] " is not set" : "CONFIG_" order[i] "=" value[order[i]]
}
