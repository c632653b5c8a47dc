# ccache.sh COMPILER ARGUMENT...: call COMPILER through ccache, with paths that do not tell where the kernel tree lies.
#
# Kbuild names every source file and include folder of an out-of-tree build by its absolute path, and ccache takes two
# paths for two files. In the object tree lies a link `source` to the kernel tree: through it the same file has the same
# name in every checkout, so one work tree finds what another one has compiled. Runs once an object: nothing but what
# the shell itself can do.
tree=${PI64_TREE:-}
if [ -n "$tree" ] && [ source -ef "$tree" ]; then
	for argument; do
		shift
		case $argument in
		-f*-prefix-map="$PWD"=*) ;; # the object tree itself, which may lie in the kernel tree
		*"$tree"/*) argument=${argument%%"$tree"/*}source/${argument#*"$tree"/} ;;
		esac
		set -- "$@" "$argument"
	done
fi
exec ccache "$@"
