"""The command line.

    main      all commands together
    frame     what commands share: options, examples in the help, how errors end
    output    how objects are printed
    the rest  one module for each group of commands

Belongs here: flags, defaults, exit codes, what is printed. Does not: putting the daemon together (`api.daemon`), HTTP
(`api.client`), thinking (`api.planning`, `api.advice`). Exit codes: 0 done, 1 failed, 2 wrong usage;
`plan` ends with 2 where there are changes.
"""
